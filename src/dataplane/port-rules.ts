import type { Netlink, Request } from '../kernel/netlink/socket.ts';
import { assemble } from '../kernel/nftables/assembler.ts';
import { batch } from '../kernel/nftables/batch.ts';
import { type Expression, VERDICT } from '../kernel/nftables/expression.ts';
import { NF_NETDEV } from '../kernel/nftables/message.ts';
import type { NftChain } from './objects.ts';
import type { Step } from './plan.ts';

/**
 * Chains at the ingress of ports come and go with containers. They are set without libnftables, which would list what the
 * namespace has of rules each time: an attach would cost more the more there are.
 */
export interface PortRules {
  readonly gone: readonly Request[][];
  readonly wanted: readonly Request[][];
  /** What is left to libnftables. */
  readonly rest: readonly Step[];
}

export function portRules(steps: readonly Step[]): PortRules {
  const gone: Request[][] = [];
  const wanted: Request[][] = [];
  const rest: Step[] = [];
  for (const step of steps) {
    const { object } = step;
    const chain = object.kind === 'nft-chain' && object.family === 'netdev' && object.spec.hook ? object : undefined;
    const added = chain && step.do !== 'remove' ? additions(chain) : [];
    if (chain === undefined || added === undefined) rest.push(step);
    else if (step.do === 'remove') gone.push(removals(chain));
    else wanted.push([...(step.do === 'change' ? removals(chain) : []), ...added]);
  }
  return { gone, wanted, rest };
}

/** So many chains fit the send buffer of a socket, with a dozen rules each. */
const CHAINS_AT_ONCE = 40;

/** Each chain's requests all or none. @throws KernelError */
export function sendRules(nl: Netlink, chains: readonly Request[][]): void {
  for (let i = 0; i < chains.length; i += CHAINS_AT_ONCE) {
    nl.transaction(batch.begin, chains.slice(i, i + CHAINS_AT_ONCE).flat(), batch.end);
  }
}

function removals({ table, chain }: NftChain): Request[] {
  return batch.removeChain({ table, name: chain });
}

/** @returns undefined when there is a rule in other words than the assembler knows */
function additions({ table, chain, rules, spec }: NftChain): Request[] | undefined {
  const device = spec.hook?.device;
  if (spec.hook === undefined || device === undefined) return undefined;
  const assembled: { readonly expressions: readonly Expression[]; readonly comment: string }[] = [];
  for (const [i, rule] of rules.entries()) {
    const expressions = assemble(rule);
    const comment = spec.rules[i];
    if (expressions === undefined || comment === undefined) return undefined;
    assembled.push({ expressions, comment });
  }
  const { priority, policy } = spec.hook;
  const hook = { hook: NF_NETDEV.INGRESS, device, priority, policy: policy === 'drop' ? VERDICT.DROP : VERDICT.ACCEPT };
  return [
    batch.createChain({ table, name: chain, hook }),
    ...assembled.map((rule) => batch.addRule({ table, chain, ...rule })),
  ];
}
