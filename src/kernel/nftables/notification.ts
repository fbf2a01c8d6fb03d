import { Reader } from '../../lib/bytes.ts';
import { decodeAttributes } from '../netlink/attribute.ts';
import type { Reply } from '../netlink/socket.ts';

/** linux/netlink.h, linux/netfilter/nfnetlink.h: the family and the group that tell of changes of packet rules. */
export const NETLINK_NETFILTER = 12;
export const NFNLGRP_NFTABLES = 7;

const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_DEL: readonly number[] = [2, 5, 8, 11, 14]; // table, chain, rule, set, set element
/** The first attribute of each of these messages. */
const NFTA_TABLE = 1;
const NFGENMSG = 4;

/**
 * The name of the table that something was removed from (or that was removed), undefined for other news.
 * @throws DecodeError
 */
export function decodeRemoval({ type, payload }: Reply): string | undefined {
  if (type >> 8 !== NFNL_SUBSYS_NFTABLES || !NFT_MSG_DEL.includes(type & 0xff)) return undefined;
  const reader = new Reader(payload, 'nfgenmsg');
  reader.skip(NFGENMSG);
  return decodeAttributes(reader.rest(), 'NFTA').text(NFTA_TABLE);
}
