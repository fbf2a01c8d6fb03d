import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { dump } from './dump.ts';
import type { Call, DoomedHost } from './host.ts';
import { difference, normal } from './normal.ts';
import { kill } from './operations.ts';
import { ownOf, type Place, placesIn, someOf, textOf } from './places.ts';

/** What is done to a host. */
export interface Operation {
  readonly name: string;
  readonly act: (host: DoomedHost) => Promise<unknown>;
}

/** What the deaths of one operation came to. */
export interface Tally {
  readonly name: string;
  /** That change something, when nothing disturbs it. */
  readonly calls: number;
  /** So many deaths it should come to at least: some calls are not made each time. */
  readonly least: number;
  deaths: number;
  /** What a host had after a restart that belongs neither to the state before nor to that after. */
  readonly leaks: string[];
}

type State = readonly string[];

/** After a restart, what was begun is settled within this time: three times as long as repair is promised to take. */
const settleTime = 30_000;
/** What an operation goes on doing after its answer: in the journal, and what the kernel's thread does in a quiet moment. */
const aftermath = 250;
/** Of one first death. */
const secondDeaths = 9;

/** Sees a host whole, and walks it from state to state. */
export class Walk {
  readonly #host: DoomedHost;
  readonly #store: string;

  constructor(host: DoomedHost, store: string) {
    this.#host = host;
    this.#store = store;
  }

  /**
   * Goes to and fro, dying each time at another call, until it has died at every one of both. After each restart the host is
   * as before or as after; and as after, if the caller was told so. With `most` only at so many of the calls of each.
   */
  async between(forth: Operation, back: Operation, most = Infinity): Promise<readonly Tally[]> {
    // Once to and fro first: what only the first time makes is there then.
    await forth.act(this.#host);
    await this.#rest();
    await back.act(this.#host);
    const before = await this.#rest();
    const [there, after] = await this.#count(forth);
    const [again, home] = await this.#count(back);
    assert.deepEqual(difference(before, home), [], `${back.name} leaves what ${forth.name} made`);

    const states = { before, after };
    const stepOf = (operation: Operation, to: keyof typeof states, calls: readonly Call[]) => {
      const places = [...someOf(placesIn(calls), most)];
      return { operation, to, places, tally: tallyOf(operation, calls, Math.min(calls.length, most - 2)) };
    };
    const steps = [stepOf(forth, 'after', there), stepOf(back, 'before', again)] as const;
    let at: string = 'before';
    while (steps.some(({ places }) => places.length > 0)) {
      const step = at === 'before' ? steps[0] : steps[1];
      const place = step.places.shift();
      const { died, answered } = await this.#dieAt(step.operation, place);
      if (died) {
        step.tally.deaths += 1;
        assert.equal(await this.#host.start(), 'ready');
      }
      const found = await this.#settle(answered ? { [step.to]: states[step.to] } : { ...states });
      if ('differs' in found) {
        step.tally.leaks.push(`${step.operation.name}, killed ${textOf(place)}: the host differs\n${found.differs}`);
        await this.#renew(states, forth, back);
        at = 'after';
      } else at = found.state;
    }
    if (at === 'after') await back.act(this.#host);
    await this.#settle({ before });
    return steps.map(({ tally }) => tally);
  }

  /**
   * Dies once at a place, and again in the start that follows, at some of the calls that only this start makes: those of
   * every start are died at by `starts`. @returns a tally of those starts
   */
  async twice(operation: Operation, back: Operation, place: Place): Promise<Tally> {
    const usual = await this.#startCalls();
    const states = { before: await this.#rest(), after: [] as State };
    await operation.act(this.#host);
    states.after = await this.#rest();
    await back.act(this.#host);
    await this.#settle({ before: states.before });

    const name = `start after ${operation.name} was killed ${textOf(place)}`;
    let tally: Tally | undefined;
    let places: readonly (Place | undefined)[] = [undefined];
    for (let i = 0; i < places.length; i++) {
      const second = places[i];
      const { died } = await this.#dieAt(operation, place);
      assert.ok(died, `${operation.name} was not killed ${textOf(place)}`);
      const diedAgain = await this.#startDying(second);
      if (tally === undefined) {
        await this.#rest();
        const calls = this.#host.calls();
        const own = ownOf(calls, usual);
        const chosen = someOf(placesIn(calls, own), secondDeaths);
        tally = tallyOf({ name }, own, Math.min(own.length, secondDeaths - 2));
        places = [undefined, ...chosen];
      }
      this.#host.disarm();
      if (diedAgain) {
        tally.deaths += 1;
        assert.equal(await this.#host.start(), 'ready');
      }
      const found = await this.#settle(states);
      if ('differs' in found) {
        tally.leaks.push(`${name}, then ${textOf(second)}: the host differs\n${found.differs}`);
        await this.#renew(states, operation, back);
      }
      if ('differs' in found || found.state === 'after') {
        await back.act(this.#host);
        await this.#settle({ before: states.before });
      }
    }
    assert.ok(tally);
    return tally;
  }

  /** Dies at each call of a start of the daemon, which `end` ended before; then starts it to the end. */
  async starts(name: string, end: Operation): Promise<Tally> {
    await end.act(this.#host);
    assert.equal(await this.#host.start(), 'ready');
    const up = await this.#rest();
    await end.act(this.#host);
    this.#host.order();
    assert.equal(await this.#host.start(), 'ready');
    assert.deepEqual(difference(up, await this.#rest()), [], `${name} does not bring back what was there`);
    const calls = this.#host.calls();
    const tally = tallyOf({ name }, calls);
    for (const place of placesIn(calls)) {
      await end.act(this.#host);
      const died = await this.#startDying(place);
      this.#host.disarm();
      if (died) {
        tally.deaths += 1;
        assert.equal(await this.#host.start(), 'ready');
      }
      const found = await this.#settle({ up });
      if ('differs' in found) tally.leaks.push(`${name}, killed ${textOf(place)}: the host differs\n${found.differs}`);
    }
    return tally;
  }

  /** Dies at each call of an operation that ends the daemon; then starts it. */
  async ends(operation: Operation): Promise<Tally> {
    const up = await this.#rest();
    this.#host.order();
    await operation.act(this.#host);
    await this.#host.ended;
    const calls = this.#host.calls();
    const tally = tallyOf(operation, calls);
    for (const place of [undefined, ...placesIn(calls)]) {
      if (this.#host.runs) {
        this.#host.order(place);
        await operation.act(this.#host).catch(() => undefined);
        if ((await this.#host.ended).signal === 'SIGKILL') tally.deaths += 1;
      }
      this.#host.disarm();
      assert.equal(await this.#host.start(), 'ready');
      const found = await this.#settle({ up });
      if ('differs' in found)
        tally.leaks.push(`${operation.name}, killed ${textOf(place)}: the host differs\n${found.differs}`);
    }
    return tally;
  }

  async #see(): Promise<State> {
    return normal(await dump(this.#host.host, this.#store));
  }

  /** Until nothing moves any more. */
  async #rest(): Promise<State> {
    let before = await this.#see();
    for (const deadline = Date.now() + settleTime; Date.now() < deadline; ) {
      await sleep(aftermath);
      const now = await this.#see();
      if (difference(before, now).length === 0) return now;
      before = now;
    }
    throw new Error('the host does not come to rest');
  }

  /** Waits until the host is in one of the states. @returns which, or how it differs from each */
  async #settle<Name extends string>(
    states: Readonly<Partial<Record<Name, State>>>,
  ): Promise<{ readonly state: Name } | { readonly differs: string }> {
    for (const deadline = Date.now() + settleTime; ; ) {
      const now = await this.#see();
      const differences: string[] = [];
      for (const name in states) {
        const lines = difference(states[name] ?? [], now);
        if (lines.length === 0) return { state: name };
        differences.push(`from ${name}:`, ...lines.slice(0, 40));
      }
      if (Date.now() > deadline) return { differs: differences.join('\n') };
      await sleep(50);
    }
  }

  /** Of a start when nothing is half done. */
  async #startCalls(): Promise<readonly Call[]> {
    await kill.act(this.#host);
    this.#host.order();
    assert.equal(await this.#host.start(), 'ready');
    await this.#rest();
    const calls = this.#host.calls();
    this.#host.disarm();
    return calls;
  }

  async #count({ act }: Operation): Promise<readonly [readonly Call[], State]> {
    this.#host.order();
    await act(this.#host);
    await sleep(aftermath);
    const state = await this.#rest();
    const calls = this.#host.calls();
    this.#host.disarm();
    return [calls, state];
  }

  async #dieAt({ name, act }: Operation, place: Place | undefined): Promise<{ died: boolean; answered: boolean }> {
    this.#host.order(place);
    const answered = await act(this.#host).then(
      () => true,
      () => false,
    );
    await Promise.race([this.#host.ended, sleep(answered ? patienceFor(place) : settleTime)]);
    this.#host.disarm();
    const died = !this.#host.runs;
    if (died) assert.equal((await this.#host.ended).signal, 'SIGKILL');
    else assert.ok(answered, `${name} failed, and its daemon did not die`);
    return { died, answered };
  }

  /** @returns whether it died */
  async #startDying(place: Place | undefined): Promise<boolean> {
    this.#host.order(place);
    if ((await this.#host.start()) === 'ready') await Promise.race([this.#host.ended, sleep(patienceFor(place))]);
    return !this.#host.runs;
  }

  /** What is wrong stays wrong: what follows is compared with how it is now. */
  async #renew(states: { before: State; after: State }, forth: Operation, back: Operation): Promise<void> {
    await back.act(this.#host).catch(() => undefined);
    states.before = await this.#rest();
    await forth.act(this.#host);
    states.after = await this.#rest();
  }
}

/** A call that was found is seldom left out, and may come late on a busy machine. */
function patienceFor(place: Place | undefined): number {
  return place === undefined ? aftermath : 3_000;
}

function tallyOf({ name }: { readonly name: string }, calls: readonly Call[], least = calls.length): Tally {
  return { name, calls: calls.length, least, deaths: 0, leaks: [] };
}
