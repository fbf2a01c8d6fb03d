import type { Seal } from './environment.ts';
import type { MemberState, Version } from './sheets.ts';
import { compareVersions } from './version.ts';

/** What is known of who lives: by host, the latest life that it signed and what was said of it. */
/** Which state in which life. */
export interface Opinion {
  readonly state: MemberState;
  readonly life: Version;
}

interface Entry extends Opinion {
  readonly signature: string | undefined;
}

/** Nothing was heard of it yet: it counts as alive until somebody finds out. */
const unheard: Entry = { state: 'alive', life: [0, 0], signature: undefined };

const severity: Record<MemberState, number> = { alive: 0, suspect: 1, lost: 2, left: 3 };

/** What the host itself signs. */
export function lifeStatement(cluster: string, id: string, state: 'alive' | 'left', life: Version): string {
  return ['skein life', cluster, id, state, life.join('.')].join('\n');
}

/** What a host signs when it is called through others, who could answer for it otherwise. */
export function answerStatement(cluster: string, id: string, caller: string, n: number): string {
  return ['skein answer', cluster, id, caller, String(n)].join('\n');
}

export class Roll {
  readonly #entries = new Map<string, Entry>();
  readonly #counts = { alive: 0, suspect: 0, lost: 0, left: 0, none: 0 };
  #hash: string | undefined;

  ids(): Iterable<string> {
    return this.#entries.keys();
  }

  get(id: string): Entry {
    return this.#entries.get(id) ?? unheard;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  set(id: string, entry: Entry): void {
    this.#counts[this.#entries.get(id)?.state ?? 'none'] -= 1;
    this.#counts[entry.state] += 1;
    this.#entries.set(id, entry);
    this.#hash = undefined;
  }

  /** Exactly these hosts are on it; those that are new as nothing was heard of them. Tells whether any came or went. */
  keep(ids: ReadonlySet<string>): boolean {
    const gone = [...this.#entries.keys()].filter((id) => !ids.has(id));
    const come = [...ids].filter((id) => !this.#entries.has(id));
    for (const id of gone) {
      this.#counts[this.get(id).state] -= 1;
      this.#entries.delete(id);
    }
    for (const id of come) this.set(id, unheard);
    if (gone.length > 0) this.#hash = undefined;
    return gone.length + come.length > 0;
  }

  count(state: MemberState): number {
    return this.#counts[state];
  }

  /** Equal on hosts that think the same of all; a suspicion is not an opinion yet. */
  hash(seal: Pick<Seal, 'hash'>): string {
    const lines = () =>
      [...this.#entries].map(
        ([id, { state, life }]) => `${id} ${state === 'suspect' ? 'alive' : state} ${life.join('.')}`,
      );
    this.#hash ??= seal.hash(lines().sort().join('\n')).slice(0, 16);
    return this.#hash;
  }
}

/** Whether news say more than what is known. What others say of a life that is not known here counts for the one that is. */
export function isNews({ state, life }: Opinion, known: Opinion): boolean {
  const order = compareVersions(life, known.life);
  if (state === 'suspect' || state === 'lost') return order >= 0 && severity[state] > severity[known.state];
  return order > 0 || (order === 0 && state === 'left' && known.state !== 'left');
}
