import type { Netlink } from '../netlink/socket.ts';
import { VERDICT } from './expression.ts';
import {
  encodeQuery,
  type NetdevHook,
  NF_NETDEV,
  NFPROTO,
  NFT_MSG,
  nftChain,
  nftRulePlace,
  nftSet,
  nftTable,
} from './message.ts';
import type { NftChainListing, Ruleset } from './ruleset.ts';

/**
 * What nft shows of family netdev, without libnftables: it would find out what each word of a rule means, which takes many
 * times as long as the kernel takes to tell of it.
 */
export const netdev = {
  /**
   * One table, in which sets have no elements, and beside it the other tables of the family, or of all families.
   * Equivalent to `nft -j list table netdev TABLE` and `nft -j list tables`. @throws KernelError
   */
  list(nl: Netlink, table: string, options: { readonly tables: 'netdev' | 'all' }): Ruleset {
    const place = { family: 'netdev', table } as const;
    const chains = new Map<string, NftChainListing & { readonly comments: string[] }>();
    for (const { name, hook } of listed(nl, 'chains', nftChain).filter(isIn(table))) {
      chains.set(name, { ...place, name, ...(hook && { hook: shown(hook) }), comments: [] });
    }
    // They come in the order in which they stand.
    for (const { chain, comment = '' } of listed(nl, 'rules', nftRulePlace, { table })) {
      chains.get(chain)?.comments.push(comment);
    }
    const sets = listed(nl, 'sets', nftSet).filter((set) => isIn(table)(set) && !set.anonymous && !set.map);
    const family = options.tables === 'all' ? NFPROTO.UNSPEC : NFPROTO.NETDEV;
    return {
      tables: listed(nl, 'tables', nftTable, { family }).map((each) => ({ ...each, family: nameOf(each.family) })),
      sets: sets.map(({ name }) => ({ ...place, name, elements: [] })),
      chains: [...chains.values()],
    };
  },
} as const;

const GET = {
  tables: NFT_MSG.GETTABLE,
  chains: NFT_MSG.GETCHAIN,
  rules: NFT_MSG.GETRULE,
  sets: NFT_MSG.GETSET,
} as const;

function listed<T>(
  nl: Netlink,
  what: keyof typeof GET,
  codec: { decode(payload: Uint8Array): T },
  of: { readonly family?: number; readonly table?: string } = {},
): T[] {
  const { family = NFPROTO.NETDEV, table } = of;
  const request = { action: `list ${what}`, type: GET[what], payload: encodeQuery(family, table) };
  return nl.dump(request, ({ payload }) => codec.decode(payload));
}

function isIn(table: string): (each: { readonly table: string }) => boolean {
  return (each) => each.table === table;
}

function shown({ hook, device, priority, policy }: NetdevHook): NonNullable<NftChainListing['hook']> {
  const name = hook === NF_NETDEV.INGRESS ? 'ingress' : hook === NF_NETDEV.EGRESS ? 'egress' : String(hook);
  return { type: 'filter', hook: name, device, priority, policy: policy === VERDICT.DROP ? 'drop' : 'accept' };
}

/** As nft calls them. */
function nameOf(family: number): string {
  const name = Object.entries(NFPROTO).find(([, number]) => number === family)?.[0] ?? String(family);
  return name === 'IPV4' ? 'ip' : name === 'IPV6' ? 'ip6' : name.toLowerCase();
}
