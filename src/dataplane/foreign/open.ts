import { join } from 'node:path';
import { pause } from '../../lib/backoff.ts';
import { messageOf } from '../../lib/errors.ts';
import { Fights } from '../../lib/fights.ts';
import type { Log } from '../../lib/log.ts';
import { isHostInterface } from '../../model/network.ts';
import { formatGuest, type Guest, guestsIn, guestsOf, isInPlace, sameGuest } from './chains.ts';
import { type Foreign, GUESTS_FILE } from './foreign.ts';
import { interfaces } from './forwarding.ts';
import { unmanage } from './network-manager.ts';
import { hasLegacy, placeGuest, readForeign, removeGuest } from './programs.ts';
import * as record from './record.ts';

export interface ForeignOptions {
  /** The state directory. */
  readonly state: string;
  /** UDP port of VXLAN. */
  readonly port: number;
  readonly log: Log;
}

/**
 * Reloads come in many steps, the looks between them should be few, and who fights us shall not have all our time. The
 * kernel does not tell of rules of iptables' older kind: where there are any, they are looked at again and again.
 */
const times = { settle: 100, interval: 4_000, restFactor: 10, mostRest: 8_000 } as const;
/** So many intervals pass at most between two looks at all. */
const blind = 8;

/** Resolves when it has looked for the first time. */
export async function openForeign({ state, port, log }: ForeignOptions): Promise<Foreign> {
  const file = join(state, GUESTS_FILE);
  const stop = new AbortController();
  const fights = new Fights();
  let wake = new AbortController();
  let failure: string | undefined;

  const leaveAlone = () => {
    try {
      unmanage(log);
    } catch (error) {
      fail('NetworkManager could not be told to leave our devices alone', error);
    }
  };
  const fail = (what: string, error: unknown) => {
    // Said once, not at every look.
    if (failure !== messageOf(error)) log.warn(what, { error: messageOf(error) });
    failure = messageOf(error);
  };
  const look = async () => {
    leaveAlone();
    try {
      const { added, moved, removed } = await settleGuests(file, port);
      for (const guest of added) tellPlaced(guest, 'a chain of others would drop our packets: a rule was added to it');
      for (const guest of moved) tellPlaced(guest, 'a rule of ours was moved to its place in a chain of others');
      for (const guest of removed)
        log.info('a rule is not needed any more in a chain of others', { rule: formatGuest(guest) });
      failure = undefined;
    } catch (error) {
      fail('chains of others could not be looked at or changed', error);
    }
  };
  const tellPlaced = (guest: Guest, what: string) => {
    const rule = formatGuest(guest);
    const fight = fights.note(rule, performance.now());
    if (fight === 'begun')
      log.error('something keeps removing a rule of ours from a chain of others: it is put back seldom from now on', {
        rule,
      });
    else if (fight === 'none') log.info(what, { rule });
  };

  await look();
  const running = (async () => {
    for (let idle = 0; !stop.signal.aborted; ) {
      await pause(times.interval, AbortSignal.any([stop.signal, wake.signal]));
      if (!wake.signal.aborted && !hasLegacy() && ++idle < blind) {
        leaveAlone();
        continue;
      }
      idle = 0;
      await pause(times.settle, stop.signal);
      if (stop.signal.aborted) return;
      wake = new AbortController();
      const start = performance.now();
      await look();
      const rest = fights.isOn(performance.now()) ? times.mostRest : times.restFactor * (performance.now() - start);
      await pause(Math.min(times.mostRest, rest), stop.signal);
    }
  })();
  return {
    touched: () => wake.abort(),
    async close() {
      stop.abort();
      await running;
    },
  };
}

interface Settled {
  readonly added: readonly Guest[];
  readonly moved: readonly Guest[];
  readonly removed: readonly Guest[];
}

/** Brings our rules in others' chains to what is needed. What is added is on disk before it is there. @throws Error */
async function settleGuests(file: string, port: number): Promise<Settled> {
  const chains = await readForeign();
  const there = guestsOf(chains);
  const wanted = guestsIn(chains, waysOf(port));
  const alike = (guest: Guest) => there.filter((each) => sameGuest(each, guest));
  // One that stands twice stands wrong: iptables removes by words, which both have.
  const [right, wrong] = partition(wanted, (guest) => {
    const [only, ...more] = alike(guest);
    return only !== undefined && more.length === 0 && isInPlace(only, guest);
  });
  const [moved, added] = partition(wrong, (guest) => alike(guest).length > 0);
  const removed = there.filter((guest) => !wanted.some((each) => sameGuest(each, guest)));
  const before = record.guestsIn(file);
  if (added.length > 0)
    record.writeGuests(file, [...before.filter((guest) => !wanted.some((each) => sameGuest(each, guest))), ...wanted]);
  for (const guest of removed) await removeGuest(guest);
  let placed = there.filter((guest) => !removed.includes(guest));
  for (const guest of wrong) {
    const others = placed.filter((each) => !sameGuest(each, guest));
    await placeGuest(guest, alike(guest), others);
    placed = [...others, { ...guest, after: guest.most }];
  }
  const now = [...right, ...wrong];
  if (JSON.stringify(before.map(formatGuest)) !== JSON.stringify(now.map(formatGuest))) record.writeGuests(file, now);
  return { added, moved, removed };
}

function waysOf(port: number) {
  return { port, exposed: interfaces().some(isHostInterface) };
}

function partition<T>(list: readonly T[], isFirst: (item: T) => boolean): [first: readonly T[], second: readonly T[]] {
  return [list.filter(isFirst), list.filter((item) => !isFirst(item))];
}

/** Rules of ours in others' chains, and of those that ought to be there what is missing or stands in a wrong place. */
interface Guests {
  readonly there: readonly Guest[];
  readonly missing: readonly Guest[];
  readonly misplaced: readonly Guest[];
}

/** @throws Error */
export async function lookAtGuests(port: number): Promise<Guests> {
  const chains = await readForeign();
  const there = guestsOf(chains);
  const wanted = guestsIn(chains, waysOf(port)).filter((guest) => !there.some((each) => isInPlace(each, guest)));
  const [misplaced, missing] = partition(wanted, (guest) => there.some((each) => sameGuest(each, guest)));
  return { there, missing, misplaced };
}

/** Takes every rule of ours out of others' chains, known by its comment, on record or not. @returns how many. @throws Error */
export async function takeBackGuests(state: string): Promise<number> {
  const there = guestsOf(await readForeign());
  for (const guest of there) await removeGuest(guest);
  record.writeGuests(join(state, GUESTS_FILE), []);
  return there.length;
}
