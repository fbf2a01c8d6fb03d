import type { Version } from '../../src/state/mesh/sheets.ts';
import { compareVersions } from '../../src/state/mesh/version.ts';
import type { SimulatedHost, World } from './world.ts';

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
  readonly count: number;
}

interface Change {
  readonly value: string;
  readonly at: number;
  /** When its disk had it. */
  version: Version | undefined;
  /** Who lived when it was made and has not seen it yet. */
  readonly unseen: Set<string>;
  seen: number;
}

/** Measures how long it takes from when a host is asked to say something until the last of all who live sees it. */
export class Waves {
  readonly #world: World;
  readonly #changes = new Map<string, Change[]>();
  #count = 0;

  constructor(world: World) {
    this.#world = world;
    for (const host of world.hosts) {
      host.onStart(({ sheets }) => {
        sheets.watch(({ owner, scope, sheet }) => {
          if (scope !== 'catalog' || sheet === undefined) return;
          for (const change of this.#of(owner)) {
            if (owner === host.id && sheet.entries.get('value') === change.value) change.version ??= sheet.version;
            if (change.version && compareVersions(sheet.version, change.version) >= 0) this.#see(change, host.id);
          }
        });
      });
    }
  }

  say(by: SimulatedHost): void {
    const { running, time } = this.#world;
    this.#count += 1;
    const value = `seq-${this.#count}`;
    const unseen = new Set(running.map(({ id }) => id));
    this.#of(by.id).push({ value, at: time.now, version: undefined, unseen, seen: time.now });
    void by.sheets.change('catalog', (draft) => draft.put('value', value)).catch(() => undefined);
  }

  /** Who dies is not waited for, nor is what it could not say any more. */
  died(host: SimulatedHost): void {
    for (const changes of this.#changes.values()) for (const { unseen } of changes) unseen.delete(host.id);
    this.#changes.set(
      host.id,
      this.#of(host.id).filter(({ unseen }) => unseen.size === 0),
    );
  }

  /** What never came to everybody took for ever. */
  result(): Percentiles {
    const all = [...this.#changes.values()].flat();
    return percentiles(all.map(({ at, seen, unseen }) => (unseen.size > 0 ? Number.POSITIVE_INFINITY : seen - at)));
  }

  #see(change: Change, host: string): void {
    if (change.unseen.delete(host)) change.seen = this.#world.time.now;
  }

  #of(owner: string): Change[] {
    const changes = this.#changes.get(owner) ?? [];
    this.#changes.set(owner, changes);
    return changes;
  }
}

/** Changes of any hosts, a few a second, while one of ten times a host dies or comes back. */
export function churn(world: World, waves: Waves, changes: number): void {
  const { chance } = world;
  for (let n = 0; n < changes; n += 1) {
    waves.say(chance.of(world.running));
    world.run(chance.between(20, 200));
    if (!chance.happens(0.1)) continue;
    const host = chance.of(world.hosts.slice(1));
    if (!host.running) host.start();
    else if (world.running.length > world.hosts.length * 0.8) {
      host.crash(chance.of(['daemon', 'machine']));
      waves.died(host);
    }
  }
  world.run(10_000);
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), most: at(1), count: sorted.length };
}
