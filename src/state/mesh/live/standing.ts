import * as v from 'valibot';
import { hostIdOf, PublicKey } from '../../../model/host-key.ts';
import { HostId } from '../../../model/text.ts';
import type { Removal, Standing } from '../removal.ts';
import type { Sheets } from '../sheets.ts';
import type { TrustView } from '../trust/view.ts';

/** What an admin says with a removal, for who takes over. */
export const RemovalFacts = v.object({
  heir: v.optional(HostId),
  at: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 48)), 0),
  force: v.optional(v.boolean(), false),
});

/** Who belongs to the cluster, for the parts above sheets. */
export function standingOf(view: TrustView): Standing {
  return {
    admitted: () => new Set(view.now().hosts.keys()),
    removals: () =>
      [...view.now().removed].flatMap(([host, { all }]) =>
        Array.from(all, ([by, said]): Removal => {
          const facts = v.safeParse(RemovalFacts, said);
          const { heir, at, force } = facts.success ? facts.output : { at: 0, force: false };
          return { host, by, heir: heir ?? by, at, force };
        }),
      ),
  };
}

const Member = v.looseObject({ key: PublicKey });

/** The key of a host that was removed: whoever let it in once had said it, and the id follows from it. */
export function formerKey(host: string, sheets: Pick<Sheets, 'list'>): string | undefined {
  for (const { entries } of sheets.list('trust')) {
    for (const kind of ['member', 'admin']) {
      const said = v.safeParse(Member, entries.get(`${kind}/${host}`));
      if (said.success && hostIdOf(said.output.key) === host) return said.output.key;
    }
  }
  return undefined;
}
