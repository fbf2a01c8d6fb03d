import { NLM_F } from '../netlink/message.ts';
import type { Request } from '../netlink/socket.ts';
import {
  encodeBatchMark,
  NFNL_MSG_BATCH,
  NFT_MSG,
  type NftChainMessage,
  type NftRuleMessage,
  nftChain,
  nftRule,
} from './message.ts';

/** Requests of a transaction with nf_tables, see `Netlink.transaction`. Family netdev. */
export const batch = {
  begin: mark('begin to set rules', NFNL_MSG_BATCH.BEGIN),
  end: mark('set rules', NFNL_MSG_BATCH.END),

  /** Equivalent to `nft create chain netdev TABLE NAME { … }`. */
  createChain(chain: NftChainMessage): Request {
    const flags = NLM_F.CREATE | NLM_F.EXCL;
    return { action: `add chain ${chain.name}`, type: NFT_MSG.NEWCHAIN, flags, payload: nftChain.encode(chain) };
  },

  /**
   * Removes a chain and its rules, whether or not there is one: the kernel refuses to remove what is not there, and with
   * it everything, so it is added first. Equivalent to `nft 'add chain …; flush chain …; delete chain …'`.
   */
  removeChain({ table, name }: NftChainMessage): Request[] {
    const payload = nftChain.encode({ table, name });
    const action = `remove chain ${name}`;
    return [
      { action, type: NFT_MSG.NEWCHAIN, flags: NLM_F.CREATE, payload },
      { action, type: NFT_MSG.DELCHAIN, payload },
    ];
  },

  /** Equivalent to `nft add rule netdev TABLE CHAIN …`. */
  addRule(rule: NftRuleMessage): Request {
    const flags = NLM_F.CREATE | NLM_F.APPEND;
    return { action: `add a rule to chain ${rule.chain}`, type: NFT_MSG.NEWRULE, flags, payload: nftRule.encode(rule) };
  },
};

function mark(action: string, type: number): Request {
  return { action, type, payload: encodeBatchMark() };
}
