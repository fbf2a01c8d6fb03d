import * as v from 'valibot';
import { hostIdOf } from '../../../model/host-key.ts';
import type { Clock } from '../environment.ts';
import type { SheetChange, Sheets } from '../sheets.ts';
import type { Verify } from '../signing.ts';
import { admission, credentials } from './changes.ts';
import { Claim, objection } from './claim.ts';
import type { Reason } from './refused.ts';
import type { TrustView } from './view.ts';

/**
 * How a claim comes to an admin: the host to which it was made says it in its own `host` sheet, under `claim/<host id>`,
 * which comes to every admin by whatever way there is. An admin judges it itself. No message is passed on, so none can go
 * round in a circle.
 */
const prefix = 'claim/';

/** Claims that a host says at a time. */
const mostClaims = 16;
/** Until no admin is expected to answer any more, in milliseconds. */
const patience = 8_000;

export interface AdmissionsNeeds {
  readonly sheets: Sheets;
  readonly view: TrustView;
  readonly verify: Verify;
  readonly clock: Pick<Clock, 'after'>;
}

/** Lets a host in, or has it let in: resolves when the admission stands in a sheet that is held here, or says why it will not. */
export async function admit(
  claim: Claim,
  { sheets, view, verify, clock }: AdmissionsNeeds,
): Promise<Reason | undefined> {
  const id = hostIdOf(claim.key);
  const reason = objection(claim, view.now(), verify);
  if (reason !== undefined) return reason;
  if (isAdmin(sheets, view)) {
    await publish(claim, sheets);
    return undefined;
  }
  const key = `${prefix}${id}`;
  const room = await sheets.change('host', (draft) => {
    const others = [...draft.entries()].filter(([name]) => name.startsWith(prefix) && name !== key);
    if (others.length < mostClaims) draft.put(key, JSON.parse(JSON.stringify(claim)));
    return others.length < mostClaims;
  });
  if (!room) return 'no-admin';
  const admitted = await new Promise<boolean>((resolve) => {
    const look = () => view.now().hosts.has(id) && done(true);
    const unwatch = sheets.watch(({ scope }) => scope === 'trust' && look());
    const cancel = clock.after(patience, () => done(false));
    function done(isIn: boolean): void {
      unwatch();
      cancel();
      resolve(isIn);
    }
    look();
  });
  await sheets.change('host', (draft) => draft.delete(key));
  return admitted ? undefined : 'no-admin';
}

/** At a start: who made a claim to this host in its last life makes it again. */
export async function dropClaims(sheets: Sheets): Promise<void> {
  const said = [...(sheets.read(sheets.self, 'host')?.entries.keys() ?? [])].filter((key) => key.startsWith(prefix));
  if (said.length === 0) return;
  await sheets.change('host', (draft) => {
    for (const key of said) draft.delete(key);
  });
}

/**
 * Does what an admin owes the others, for as long as this host is one, until the returned function is called: it answers the
 * claims that other hosts say, and keeps the warrants of all admins in its own sheet.
 */
export function serveAsAdmin(needs: AdmissionsNeeds, failed: (error: unknown) => void): () => void {
  return needs.sheets.watch((change) => {
    if (change.scope === 'trust') keepWarrants(needs).catch(failed);
    for (const claim of claimsIn(change)) {
      const { sheets, view, verify } = needs;
      if (change.owner === sheets.self || !isAdmin(sheets, view)) continue;
      const trust = view.now();
      if (trust.hosts.has(hostIdOf(claim.key)) || objection(claim, trust, verify) !== undefined) continue;
      publish(claim, sheets).catch(failed);
    }
  });
}

async function keepWarrants({ sheets, view }: AdmissionsNeeds): Promise<void> {
  if (!isAdmin(sheets, view)) return;
  const own = sheets.read(sheets.self, 'trust')?.entries;
  const missing = [...credentials(view.now())].filter(([key]) => !own?.has(key));
  if (missing.length > 0) await put(missing, sheets);
}

function claimsIn({ scope, keys, sheet }: SheetChange): readonly Claim[] {
  if (scope !== 'host' || sheet === undefined) return [];
  const said = keys.filter((key) => key.startsWith(prefix)).slice(0, mostClaims);
  return said.map((key) => sheet.entries.get(key)).filter((value) => v.is(Claim, value));
}

async function publish({ key, name }: Claim, sheets: Sheets): Promise<void> {
  await put(admission({ key, name }), sheets);
}

async function put(change: Iterable<readonly [string, object]>, sheets: Sheets): Promise<void> {
  await sheets.change('trust', (draft) => {
    for (const [entry, said] of change) draft.put(entry, JSON.parse(JSON.stringify(said)));
  });
}

function isAdmin({ self }: Pick<Sheets, 'self'>, view: TrustView): boolean {
  return view.now().hosts.get(self)?.role === 'admin';
}
