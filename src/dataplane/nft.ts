import { hash } from 'node:crypto';
import {
  type ChainHook,
  HOST,
  type KernelObject,
  type NftChain,
  type NftElement,
  type NftFamily,
  type NftSet,
  type NftTable,
  netnsId,
  type ObjectId,
} from './objects.ts';
import type { Step } from './plan.ts';

/** The one table that is ours in each family of a namespace. */
export const TABLE = 'skein';

function tableId(namespace: string, family: NftFamily): ObjectId {
  return `${namespace} nft-table ${family} ${TABLE}`;
}

/** A rule's comment: enough of a hash of its text to see that it is the one that we would write. */
export function ruleHash(rule: string): string {
  return hash('sha256', rule).slice(0, 16);
}

/** nftables objects of our table. Equal rules have equal text: what they are made from is canonical. */
export const nft = {
  table(namespace: string, family: NftFamily): NftTable {
    const parent = namespace === HOST ? {} : { parent: netnsId(namespace) };
    return {
      kind: 'nft-table',
      namespace,
      key: `nft-table ${family} ${TABLE}`,
      family,
      table: TABLE,
      ...parent,
      spec: {},
    };
  },
  set(namespace: string, family: NftFamily, set: string, definition: string): NftSet {
    const key = `nft-set ${family} ${TABLE} ${set}`;
    return {
      kind: 'nft-set',
      namespace,
      key,
      family,
      table: TABLE,
      set,
      definition,
      parent: tableId(namespace, family),
      spec: {},
    };
  },
  element(namespace: string, family: NftFamily, set: string, element: string): NftElement {
    const key = `nft-element ${family} ${TABLE} ${set} ${element}`;
    const parent = `${namespace} nft-set ${family} ${TABLE} ${set}`;
    return { kind: 'nft-element', namespace, key, family, table: TABLE, set, element, parent, spec: {} };
  },
  chain(namespace: string, family: NftFamily, chain: string, rules: readonly string[], hook?: ChainHook): NftChain {
    return nft.readChain(namespace, family, chain, { ...(hook && { hook }), rules: rules.map(ruleHash) }, rules);
  },
  /** A chain as a dump shows it: hashes, and nobody knows of what. */
  readChain(
    namespace: string,
    family: NftFamily,
    chain: string,
    spec: NftChain['spec'],
    rules: readonly string[] = [],
  ): NftChain {
    const { hook } = spec;
    const ordered = hook && {
      type: hook.type,
      hook: hook.hook,
      priority: hook.priority,
      policy: hook.policy,
      ...(hook.device !== undefined && { device: hook.device }),
    };
    return {
      kind: 'nft-chain',
      namespace,
      key: `nft-chain ${family} ${TABLE} ${chain}`,
      family,
      table: TABLE,
      chain,
      rules,
      parent: tableId(namespace, family),
      spec: { ...(ordered && { hook: ordered }), rules: spec.rules },
    };
  },
} as const;

export type RuleObject = NftTable | NftSet | NftElement | NftChain;

export function isRule(object: KernelObject): object is RuleObject {
  return object.kind.startsWith('nft-');
}

export function isRuleId(id: ObjectId): boolean {
  return id.includes(' nft-');
}

/** The commands of one transaction, in an order in which what is used exists. */
export function ruleCommands(steps: readonly Step[]): readonly string[] {
  const rules = steps.flatMap(({ do: what, object }) => (isRule(object) ? [{ what, object }] : []));
  const inOrder = rules.toSorted((a, b) => users(a.object) - users(b.object));
  const [gone = [], wanted = []] = [true, false].map((remove) =>
    inOrder.filter((r) => (r.what === 'remove') === remove),
  );
  return [
    ...gone.flatMap(({ object }) => removal(object)),
    ...wanted.toReversed().flatMap(({ what, object }) => addition(object, what === 'add')),
  ];
}

/** What others use has more. */
function users(object: RuleObject): number {
  switch (object.kind) {
    case 'nft-element':
      return 0;
    case 'nft-chain':
      if (object.spec.hook) return 1;
      return object.rules.some((rule) => rule.includes('goto ')) ? 2 : 3;
    case 'nft-set':
      return 4;
    case 'nft-table':
      return 5;
  }
}

/** nft refuses to delete what is not there, and with it the whole transaction: so it is added first. */
function removal(object: RuleObject): string[] {
  switch (object.kind) {
    case 'nft-table':
      return [`add table ${object.family} ${object.table}`, `delete table ${object.family} ${object.table}`];
    case 'nft-set':
      return [`delete set ${object.family} ${object.table} ${object.set}`];
    case 'nft-element': {
      const element = `element ${object.family} ${object.table} ${object.set} { ${object.element} }`;
      return [`add ${element}`, `delete ${element}`];
    }
    case 'nft-chain':
      return noChain(object);
  }
}

function noChain({ family, table, chain }: NftChain): string[] {
  const name = `chain ${family} ${table} ${chain}`;
  return [`add ${name}`, `flush ${name}`, `delete ${name}`];
}

function addition(object: RuleObject, isNew: boolean): string[] {
  switch (object.kind) {
    case 'nft-table':
      return [`add table ${object.family} ${object.table}`];
    case 'nft-set':
      return [`add set ${object.family} ${object.table} ${object.set} { ${object.definition} }`];
    case 'nft-element':
      return [`add element ${object.family} ${object.table} ${object.set} { ${object.element} }`];
    case 'nft-chain': {
      const name = `${object.family} ${object.table} ${object.chain}`;
      const { hook } = object.spec;
      const device = hook?.device === undefined ? '' : ` device "${hook.device}"`;
      const base = hook
        ? ` { type ${hook.type} hook ${hook.hook}${device} priority ${hook.priority}; policy ${hook.policy}; }`
        : '';
      const rules = object.rules.map((rule) => `add rule ${name} ${rule} comment "${ruleHash(rule)}"`);
      // One that others lead to cannot be deleted.
      if (!isNew && !hook) return [`add chain ${name}`, `flush chain ${name}`, ...rules];
      // One that is new must be new: `create` refuses where `add` would append to what is there.
      return [...(isNew ? [] : noChain(object)), `create chain ${name}${base}`, ...rules];
    }
  }
}
