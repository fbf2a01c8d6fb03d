import { Refusal } from '../../../lib/errors.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import type { Signer } from '../signing.ts';
import { issue, mostOldTokens, parseStatements, type TrustSheet, vouch } from './statements.ts';
import type { Admitted, Trust } from './trust.ts';

/** What an admin is to put into its own trust sheet, by key. */
export type Change = ReadonlyMap<string, object>;

/** An admin that is about to say something: what it knows, what it said already, and with what it signs. */
export interface Admin {
  readonly signer: Signer;
  readonly judge: (sheets: Iterable<TrustSheet>) => Trust;
  readonly sheets: readonly TrustSheet[];
}

/** Lets a host in. */
export function admission({ key, name }: { readonly key: string; readonly name: string }): Change {
  return new Map([[`member/${hostIdOf(key)}`, { key, name }]]);
}

/** Makes a member an admin. @throws Refusal */
export function promotion(admin: Admin, id: string): Change {
  const trust = trustOf(admin);
  const host = trust.hosts.get(id);
  if (host === undefined)
    throw new Refusal('not-found', `make ${id} an admin: no such host was admitted to the cluster`);
  if (host.role === 'admin') return new Map();
  return new Map([[`admin/${id}`, warrant(admin, trust, host, nextRank(admin))]]);
}

/**
 * The warrants of all admins, which each admin keeps in its own sheet: so that it stands without the sheets of those before
 * it, and that no admin is one only as long as the one that made it says so.
 */
export function credentials({ hosts }: Trust): Change {
  const warrants = [...hosts.values()].flatMap((host) => host.warrants);
  return new Map(warrants.map((step) => [`admin/${hostIdOf(step.key)}`, step]));
}

/** Makes the token of this pair the one that counts. */
export function rotation({ cluster, token }: Trust, next: Signer): Change {
  const n = (token?.n ?? 0) + 1;
  const old = token === undefined ? [] : [token.key, ...token.old].slice(0, mostOldTokens);
  return new Map([['token', { key: next.key, n, vouch: vouch(cluster, n, next), old }]]);
}

/**
 * Removes hosts, for ever, and lets in anew whom they had let in and removed. `record` is kept with each removal.
 * A removed host may know the token: rotate it.
 * @throws Refusal
 */
export function removal(admin: Admin, targets: ReadonlySet<string>, record: object = {}): Change {
  const self = hostIdOf(admin.signer.key);
  const before = trustOf(admin);
  if (targets.has(self)) {
    throw new Refusal(
      'invalid',
      `remove ${self}: a host does not remove itself; run it on another admin, or reset this host`,
    );
  }
  const change = new Map<string, object>([...targets].map((id) => [`removed/${id}`, record]));
  let rank = nextRank(admin);
  // To take over one statement can bring back what another one said.
  for (let size = 0; size < change.size; ) {
    size = change.size;
    const after = judgeWith(admin, change);
    for (const [id, { removal: said }] of before.removed) if (!after.removed.has(id)) change.set(`removed/${id}`, said);
    if (size < change.size) continue;
    for (const [id, host] of lost(before, after, targets)) {
      if (host.role === 'member') change.set(`member/${id}`, { key: host.key, ...(host.name && { name: host.name }) });
      else if (!change.has(`admin/${id}`)) change.set(`admin/${id}`, warrant(admin, before, host, rank++));
    }
  }
  return change;
}

/** Who would be in no more, or an admin no more, though nobody meant it. */
function lost(before: Trust, after: Trust, targets: ReadonlySet<string>): readonly (readonly [string, Admitted])[] {
  return [...before.hosts].filter(([id, { role }]) => {
    const host = after.hosts.get(id);
    return !targets.has(id) && (host === undefined || (role === 'admin' && host.role !== role));
  });
}

/** @throws Refusal when this host is no admin */
function trustOf({ judge, sheets, signer }: Admin): Trust {
  const trust = judge(sheets);
  if (trust.hosts.get(hostIdOf(signer.key))?.role === 'admin') return trust;
  const admins = [...trust.hosts].filter(([, { role }]) => role === 'admin').map(([id, { name }]) => name ?? id);
  const where = admins.length === 0 ? 'nobody is' : `${admins.slice(0, 5).join(', ')} can`;
  throw new Refusal('forbidden', `this host is not an admin of the cluster: ${where}`);
}

function judgeWith({ judge, sheets, signer }: Admin, change: Change): Trust {
  const self = hostIdOf(signer.key);
  const entries = new Map([...(entriesOf(sheets, self) ?? []), ...change]);
  return judge([...sheets.filter(({ owner }) => owner !== self), { owner: self, entries }]);
}

function warrant({ signer }: Admin, { cluster }: Trust, { key, name }: Admitted, rank: number): object {
  return issue(cluster, { key, rank, ...(name !== undefined && { name }) }, signer);
}

function nextRank({ sheets, signer }: Admin): number {
  const entries = entriesOf(sheets, hostIdOf(signer.key));
  const own = entries === undefined ? [] : parseStatements(entries).warrants.filter(({ by }) => by === signer.key);
  return Math.max(0, ...own.map(({ rank }) => rank)) + 1;
}

function entriesOf(sheets: readonly TrustSheet[], owner: string): ReadonlyMap<string, unknown> | undefined {
  return sheets.find((sheet) => sheet.owner === owner)?.entries;
}
