import { Refusal } from '../../src/lib/errors.ts';
import type { Mesh } from '../../src/state/mesh/mesh.ts';
import { type MeshState, openMeshState } from '../../src/state/mesh/open.ts';
import type { SimulatedHost } from './world.ts';

/** Milliseconds: in which what came is gathered; before what the disk refused is tried again; before what an heir says is known. */
const pace = { tend: [1, 20], again: 500, forget: 2_500 } as const;

/** What runs above sheets on one host in one of its lives: numbers, names and records. */
export class Above {
  readonly state: MeshState;
  /** Networks on which it has endpoints. */
  readonly inUse = new Set<string>();
  readonly #host: SimulatedHost;
  readonly #mesh: Mesh;
  readonly #life: number;
  #due = false;
  #tending = false;

  constructor(host: SimulatedHost, mesh: Mesh) {
    const { world } = host;
    this.#host = host;
    this.#mesh = mesh;
    this.#life = host.life;
    const { sheets, members, questions } = mesh;
    this.state = openMeshState({
      ...{ sheets, members, questions, standing: host.belonging, underlay: 4 },
      founder: () => world.founder.id,
      inUse: () => this.inUse,
      now: () => world.time.now + host.skew,
      nonce: () => Array.from({ length: 32 }, () => world.chance.whole(0, 15).toString(16)).join(''),
      pause: (ms) => new Promise((resolve) => this.#after(ms, resolve)),
    });
    mesh.sheets.watch(({ scope }) => scope !== 'host' && this.#tendSoon());
    this.#tendSoon();
  }

  close(): void {
    this.state.close();
  }

  /** Once for all that came meanwhile. */
  #tendSoon(wait: number = this.#host.world.chance.between(...pace.tend)): void {
    if (this.#due) return;
    this.#due = true;
    this.#after(wait, () => {
      this.#due = false;
      if (this.#tending) this.#tendSoon();
      else this.#tend();
    });
  }

  #tend(): void {
    this.#tending = true;
    this.state.tend().then(
      () => {
        this.#tending = false;
        this.#mesh.trustChanged();
        this.#after(pace.forget, () => this.#mesh.trustChanged());
      },
      (error: unknown) => {
        if (!(error instanceof Refusal)) throw error;
        this.#tending = false;
        this.#tendSoon(pace.again);
      },
    );
  }

  #after(ms: number, task: () => void): void {
    const host = this.#host;
    const { world } = host;
    const go = () => {
      if (host.life !== this.#life) return;
      world.stirred = true;
      task();
    };
    world.time.at(world.time.now + ms, () => host.life === this.#life && host.act(go));
  }
}
