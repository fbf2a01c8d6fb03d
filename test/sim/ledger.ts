import type { Json, Scope, Sheet, Version } from '../../src/state/mesh/sheets.ts';
import { compareVersions } from '../../src/state/mesh/version.ts';
import type { SimulatedHost, World } from './world.ts';

interface Said {
  readonly version: Version | undefined;
  /** Undefined when it was deleted. */
  readonly value: Json | undefined;
}

/** What each host has said last under each key, noted at the moment at which its disk had it. */
export class Ledger {
  readonly #world: World;
  readonly #said = new Map<string, Map<string, Said>>();
  readonly #uncertain = new Set<string>();
  #count = 0;

  readonly scopes: readonly Scope[];

  constructor(world: World, networks: readonly string[]) {
    this.#world = world;
    this.scopes = ['catalog', 'ring', ...networks.map((network): Scope => `network:${network}`)];
  }

  /** Notes what this host says from now on. */
  follow(host: SimulatedHost): void {
    host.onStart((mesh) => {
      for (const [scope, said] of this.#scopes(host.id)) this.#find(said, mesh.sheets.read(host.id, scope));
      mesh.sheets.watch(({ owner, scope, keys, sheet }) => {
        if (owner !== host.id || scope === 'host' || scope === 'trust') return;
        // What the parts above say they correct themselves.
        for (const key of keys.filter((one) => isOurs(one)))
          this.#of(owner, scope).set(key, { version: sheet?.version, value: sheet?.entries.get(key) });
      });
    });
  }

  /** What the disk had when the host died counts as said, though nobody was told. */
  #find(said: Map<string, Said>, sheet: Sheet | undefined): void {
    const known = [...said.values()].flatMap(({ version }) => (version === undefined ? [] : [version]));
    if (sheet === undefined || known.some((version) => compareVersions(version, sheet.version) > 0)) return;
    for (const key of new Set([...said.keys(), ...[...sheet.entries.keys()].filter(isOurs)]))
      said.set(key, { version: sheet.version, value: sheet.entries.get(key) });
  }

  /** The host says something new, or takes something back. */
  change(host: SimulatedHost, scope: Scope): void {
    const { chance } = this.#world;
    this.#count += 1;
    const value = `seq-${this.#count}`;
    const key = `k${chance.whole(1, 8)}`;
    const goes = chance.happens(0.25);
    this.#world.trace(() => `${host.name} ${goes ? 'deletes' : 'says'} ${scope} ${key} ${goes ? '' : value}`);
    void host.sheets
      .change(scope, (draft) => (goes ? draft.delete(key) : draft.put(key, value)))
      .catch(() => undefined);
  }

  /**
   * The disk of this host goes back, while it does not run: what no other host that runs had heard of is lost, and
   * nobody can be blamed for it.
   */
  rolledBack(host: SimulatedHost): void {
    const others = this.#world.running.filter((other) => other !== host && !this.#world.liars.has(other.id));
    const mine = host.disk.load().filter(({ head }) => head.owner === host.id);
    const kept = new Map(mine.map(({ head, entries }) => [head.scope, new Map(entries)]));
    for (const [scope, said] of this.#scopes(host.id)) {
      for (const [key, { value, version }] of said) {
        const heard = others.some((other) => {
          const sheet = other.sheets.read(host.id, scope);
          return sheet !== undefined && version !== undefined && compareVersions(sheet.version, version) >= 0;
        });
        if (!heard && kept.get(scope)?.get(key) !== value) this.#uncertain.add(`${host.id} ${scope} ${key}`);
      }
    }
  }

  /** What is not as the hosts said last, though nothing excuses it. */
  violations(): string[] {
    return this.#world.running.flatMap((host) =>
      this.#scopes(host.id).flatMap(([scope, said]) => {
        const sheet = host.sheets.read(host.id, scope);
        return [...said].flatMap(([key, { value }]) => {
          const now = sheet?.entries.get(key);
          if (now === value || this.#uncertain.has(`${host.id} ${scope} ${key}`)) return [];
          return [
            `${host.name} said ${key} is ${JSON.stringify(value)} in ${scope}, and its own sheet has ${JSON.stringify(now)}`,
          ];
        });
      }),
    );
  }

  #of(owner: string, scope: Scope): Map<string, Said> {
    const said = this.#said.get(`${owner} ${scope}`) ?? new Map();
    this.#said.set(`${owner} ${scope}`, said);
    return said;
  }

  #scopes(owner: string): [Scope, Map<string, Said>][] {
    return this.scopes.map((scope) => [scope, this.#of(owner, scope)]);
  }
}

function isOurs(key: string): boolean {
  return /^k\d$/.test(key);
}
