import { Reader } from '../../lib/bytes.ts';
import { decodeAttributes } from '../netlink/attribute.ts';
import type { Reply } from '../netlink/socket.ts';

/** linux/netlink.h, linux/netfilter/nfnetlink.h: the family and the group that tell of changes of packet rules. */
export const NETLINK_NETFILTER = 12;
export const NFNLGRP_NFTABLES = 7;

const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_DEL: readonly number[] = [2, 5, 8, 11, 14]; // table, chain, rule, set, set element
/** What ends a transaction; it is of no table. */
const NFT_MSG_NEWGEN = 15;
/** The first attribute of each of these messages. */
const NFTA_TABLE = 1;
const NFGENMSG = 4;

/** A change of something in a table, or of the table itself. */
export interface RuleChange {
  readonly table: string;
  readonly removed: boolean;
}

/** @returns undefined for other news. @throws DecodeError */
export function decodeRuleChange({ type, payload }: Reply): RuleChange | undefined {
  if (type >> 8 !== NFNL_SUBSYS_NFTABLES || (type & 0xff) >= NFT_MSG_NEWGEN) return undefined;
  const reader = new Reader(payload, 'nfgenmsg');
  reader.skip(NFGENMSG);
  const table = decodeAttributes(reader.rest(), 'NFTA').text(NFTA_TABLE);
  return table === undefined ? undefined : { table, removed: NFT_MSG_DEL.includes(type & 0xff) };
}
