import * as v from 'valibot';
import { hostIdOf, PublicKey } from '../../../model/host-key.ts';
import { Name } from '../../../model/text.ts';
import { canonical } from '../canonical.ts';
import type { Signer, Verify } from '../signing.ts';
import { Signature } from './genesis.ts';

/**
 * What an admin says in its `trust` sheet, an entry each:
 *
 *     member/<host id>    this host belongs to the cluster
 *     admin/<host id>     a warrant: this host may say such things too
 *     removed/<host id>   this host is out, for ever
 *     token               what new hosts have to prove to know
 *
 * A warrant is signed by itself: a new admin copies those that lead from the founder to itself into its own sheet, so that
 * what it says can be judged without the sheets of those before it.
 */
const Member = v.looseObject({ key: PublicKey, name: v.optional(Name) });
type Member = v.InferOutput<typeof Member>;

const Count = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 31));

export const Warrant = v.looseObject({
  /** Key of the admin that made this one. */
  by: PublicKey,
  key: PublicKey,
  name: v.optional(Name),
  /** Grows with each one that an admin makes: the earlier is the senior. */
  rank: Count,
  signature: Signature,
});
export type Warrant = v.InferOutput<typeof Warrant>;

const Removal = v.looseObject({});
export type Removal = v.InferOutput<typeof Removal>;

export const mostOldTokens = 16;

export const TokenRecord = v.looseObject({
  /** Public key of the pair that follows from the token's secret. */
  key: PublicKey,
  /** Grows with each new token. */
  n: Count,
  /** Signed with the token's key: who published it knew the secret. */
  vouch: Signature,
  /** Keys of tokens before it, newest first: they are refused by name. */
  old: v.pipe(v.array(PublicKey), v.maxLength(mostOldTokens)),
});
export type TokenRecord = v.InferOutput<typeof TokenRecord>;

/** Someone's `trust` sheet, with what it says as JSON. */
export interface TrustSheet {
  readonly owner: string;
  readonly entries: ReadonlyMap<string, unknown>;
}

export interface Statements {
  readonly members: ReadonlyMap<string, Member>;
  readonly warrants: readonly Warrant[];
  readonly removed: ReadonlyMap<string, Removal>;
  readonly token: TokenRecord | undefined;
}

/** More than these are not read, so that nobody can make others think without end. */
export const most = { members: 16_384, warrants: 1024, removed: 16_384 } as const;

/**
 * What is malformed, or of a kind that a newer version knows, says nothing. Entries are read in the order of their keys.
 * `known` remembers what was read of values that are the same object again: of a changed sheet most are.
 */
export function parseStatements(entries: ReadonlyMap<string, unknown>, known: Known = new WeakMap()): Statements {
  const members = new Map<string, Member>();
  const warrants: Warrant[] = [];
  const removed = new Map<string, Removal>();
  let token: TokenRecord | undefined;
  const ours = entries.entries().filter(([key]) => key === 'token' || named.test(key));
  for (const [key, value] of [...ours].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const statement = remembered(key, value, known);
    if (statement === undefined) continue;
    switch (statement.kind) {
      case 'member':
        if (members.size < most.members) members.set(statement.id, statement.member);
        break;
      case 'admin':
        if (warrants.length < most.warrants) warrants.push(statement.warrant);
        break;
      case 'removed':
        if (removed.size < most.removed) removed.set(statement.id, statement.removal);
        break;
      case 'token':
        token = statement.token;
    }
  }
  return { members, warrants, removed, token };
}

const named = /^(member|admin|removed)\/[0-9a-f]{32}$/;

type Statement =
  | { readonly kind: 'member'; readonly id: string; readonly member: Member }
  | { readonly kind: 'admin'; readonly id: string; readonly warrant: Warrant }
  | { readonly kind: 'removed'; readonly id: string; readonly removal: Removal }
  | { readonly kind: 'token'; readonly token: TokenRecord };

export type Known = WeakMap<object, { readonly key: string; readonly statement: Statement | undefined }>;

function remembered(key: string, value: unknown, known: Known): Statement | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const before = known.get(value);
  if (before?.key === key) return before.statement;
  const statement = read(key, value);
  known.set(value, { key, statement });
  return statement;
}

function read(key: string, value: object): Statement | undefined {
  if (key === 'token') {
    const token = as(TokenRecord, value);
    return token && { kind: 'token', token };
  }
  const [kind, id = ''] = key.split('/', 2);
  if (kind === 'member') {
    const member = as(Member, value);
    return member && hostIdOf(member.key) === id ? { kind, id, member } : undefined;
  }
  if (kind === 'admin') {
    const warrant = as(Warrant, value);
    return warrant && hostIdOf(warrant.key) === id ? { kind, id, warrant } : undefined;
  }
  const removal = kind === 'removed' ? as(Removal, value) : undefined;
  return removal && { kind: 'removed', id, removal };
}

function as<const S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> | undefined {
  const result = v.safeParse(schema, value, { abortEarly: true });
  return result.success ? result.output : undefined;
}

export function issue(cluster: string, facts: Pick<Warrant, 'key' | 'name' | 'rank'>, by: Signer): Warrant {
  const said = { ...facts, by: by.key };
  return { ...said, signature: by.sign(warrantText(cluster, said)) };
}

export function isGenuine({ signature, ...said }: Warrant, cluster: string, verify: Verify): boolean {
  return verify(said.by, warrantText(cluster, said), signature);
}

function warrantText(cluster: string, said: Omit<Warrant, 'signature'>): string {
  return canonical(['skein warrant', cluster, said]);
}

export function vouch(cluster: string, n: number, token: Signer): string {
  return token.sign(vouchText(cluster, n, token.key));
}

/** Whether who published the token of this cluster knew its secret. */
export function isVouched({ key, n, vouch: signature }: TokenRecord, cluster: string, verify: Verify): boolean {
  return verify(key, vouchText(cluster, n, key), signature);
}

function vouchText(cluster: string, n: number, key: string): string {
  return canonical(['skein token', cluster, n, key]);
}
