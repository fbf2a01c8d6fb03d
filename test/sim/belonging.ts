import type { Trust } from '../../src/state/mesh/environment.ts';
import type { Mesh } from '../../src/state/mesh/mesh.ts';
import type { Removal, Standing } from '../../src/state/mesh/removal.ts';
import type { Json, Scope } from '../../src/state/mesh/sheets.ts';
import {
  type Admin,
  admission,
  type Change,
  credentials,
  promotion,
  removal,
} from '../../src/state/mesh/trust/changes.ts';
import type { Trust as Judged } from '../../src/state/mesh/trust/trust.ts';
import { TrustView } from '../../src/state/mesh/trust/view.ts';
import type { SimulatedHost } from './world.ts';

/** Who belongs to the cluster as one host knows it in one of its lives, and what it says of that as an admin. */
export class Belonging implements Trust, Standing {
  readonly #host: SimulatedHost;
  readonly #view: TrustView;
  #mesh: Mesh | undefined;
  #known:
    | { readonly trust: Judged; readonly admitted: ReadonlySet<string>; readonly removals: readonly Removal[] }
    | undefined;

  constructor(host: SimulatedHost) {
    const { genesis, verify } = host.world;
    this.#host = host;
    this.#view = new TrustView(genesis, verify, () => this.#mesh?.sheets.list('trust') ?? []);
  }

  follow(mesh: Mesh): void {
    this.#mesh = mesh;
    mesh.sheets.watch(({ scope }) => {
      if (scope === 'trust') this.#keepCredentials();
    });
  }

  get cluster(): string {
    return this.#view.cluster;
  }

  keyFor(owner: string, scope: Scope): string | undefined {
    const { world, above } = this.#host;
    if (world.isOpenToAll) return world.host(owner).seal.key;
    const key = this.#view.keyFor(owner, scope);
    if (key !== undefined || (scope !== 'ring' && scope !== 'catalog') || !this.#view.now().removed.has(owner))
      return key;
    // What its heir takes over.
    return above?.state.spent(owner) === true ? undefined : world.host(owner).seal.key;
  }

  admits(peer: string): boolean {
    return this.#host.world.isOpenToAll || this.#view.now().hosts.has(peer);
  }

  /** Whether it was ever said to be in. */
  knows(peer: string): boolean {
    return this.admits(peer) || this.#view.now().removed.has(peer);
  }

  isAdmin(): boolean {
    return this.#view.now().hosts.get(this.#host.id)?.role === 'admin';
  }

  admitted(): ReadonlySet<string> {
    return this.#standing().admitted;
  }

  removals(): readonly Removal[] {
    return this.#standing().removals;
  }

  #standing() {
    const trust = this.#view.now();
    if (trust === this.#known?.trust) return this.#known;
    const removals = [...trust.removed].flatMap(([host, { all }]) =>
      [...all].map(
        ([by, { heir, at, force }]): Removal => ({
          host,
          by,
          heir: String(heir),
          at: Number(at),
          force: force === true,
        }),
      ),
    );
    this.#known = { trust, admitted: new Set(trust.hosts.keys()), removals };
    return this.#known;
  }

  admit({ seal: { key }, name }: SimulatedHost): void {
    this.#say(() => admission({ key, name }));
  }

  promote(id: string): void {
    this.#say((admin) => promotion(admin, id));
  }

  remove(id: string, force: boolean): void {
    const at = Math.max(0, ...this.removals().map((one) => one.at)) + 1;
    this.#say((admin) => removal(admin, new Set([id]), { heir: this.#host.id, at, force }));
  }

  #keepCredentials(): void {
    if (!this.isAdmin()) return;
    const held = this.#mesh?.sheets.read(this.#host.id, 'trust')?.entries;
    const missing = [...credentials(this.#view.now())].filter(([key]) => held?.has(key) !== true);
    if (missing.length > 0) this.#say(() => new Map(missing));
  }

  /** What it may not say, or its disk does not take, is not said. */
  #say(change: (admin: Admin) => Change): void {
    const { seal, world } = this.#host;
    void this.#mesh?.sheets
      .change('trust', (draft) => {
        const sheets = this.#mesh?.sheets.list('trust') ?? [];
        const said = change({ signer: seal, judge: world.judge, sheets });
        for (const [key, value] of said) draft.put(key, JSON.parse(JSON.stringify(value)) as Json);
      })
      .catch(() => undefined);
  }
}
