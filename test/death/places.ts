import type { Kind, Orders } from './doom.ts';
import type { Call } from './host.ts';

/** Where a daemon dies. */
export type Place = NonNullable<Orders['die']>;

/** Those of the calls that are not among the usual ones. */
export function ownOf(calls: readonly Call[], usual: readonly Call[]): readonly Call[] {
  const textOfCall = ({ kind, what }: Call) => `${kind} ${what}`;
  const left = usual.map(textOfCall);
  return calls.filter((call) => {
    const index = left.indexOf(textOfCall(call));
    if (index >= 0) left.splice(index, 1);
    return index < 0;
  });
}

/** So many at most, from the first to the last. */
export function someOf(all: readonly Place[], most: number): readonly Place[] {
  if (all.length <= most) return all;
  const chosen = Array.from({ length: most }, (_, i) => Math.round((i * (all.length - 1)) / (most - 1)));
  return all.filter((_, i) => chosen.includes(i));
}

/** Every place at which a daemon that makes these calls can die, or those at some of the calls. */
export function placesIn(calls: readonly Call[], wanted = calls): readonly Place[] {
  const chosen = new Set(wanted);
  return (['journal', 'store', 'files', 'kernel'] as const).flatMap((kind) => {
    const all = calls.filter((call) => call.kind === kind);
    return all.flatMap((call, i) => {
      const next = all[i + 1];
      return chosen.has(call) ? placesAt(kind, i + 1, next !== undefined && chosen.has(next)) : [];
    });
  });
}

/**
 * The threads of the kernel and of the journal make one call after the other: to die after one is to die before the next,
 * if that is among those to die at, too.
 * What the main thread asks of the store and of files goes on side by side.
 */
function placesAt(kind: Kind, call: number, isFollowed: boolean): readonly Place[] {
  const before: Place = { kind, call, when: 'before' };
  const after: Place = { kind, call, when: 'after' };
  const alone = kind === 'kernel' || kind === 'journal';
  return alone && isFollowed ? [before] : [before, after];
}

export function textOf(place: Place | undefined): string {
  return place === undefined ? 'nowhere' : `${place.when} call ${place.call} of the ${place.kind}`;
}
