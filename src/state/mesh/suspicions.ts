import type { Clock } from './environment.ts';
import { expectedConfirmations, suspicionRange, suspicionTimeout } from './suspicion.ts';

export interface SuspicionsNeeds {
  readonly clock: Clock;
  /** How many live, suspects included. */
  readonly hosts: () => number;
  /** For how many milliseconds to wait still before judging anybody; none when there is no reason to. */
  readonly postponed: (late: number) => number;
  /** Nobody contradicted in time. */
  readonly judged: (id: string) => void;
}

interface Suspicion {
  readonly since: number;
  readonly by: Set<string>;
  cancel: () => void;
}

/** Who is suspected, by whom, and for how long still. */
export class Suspicions {
  readonly #needs: SuspicionsNeeds;
  readonly #all = new Map<string, Suspicion>();

  constructor(needs: SuspicionsNeeds) {
    this.#needs = needs;
  }

  ids(): Iterable<string> {
    return [...this.#all.keys()];
  }

  /** Somebody did not reach it. @returns whether that is news: what is confirmed enough needs no more */
  accuse(id: string, by: string): boolean {
    const known = this.#all.get(id);
    if (known?.by.has(by) || (known && known.by.size > expectedConfirmations(this.#needs.hosts()))) return false;
    const suspicion = known ?? { since: this.#needs.clock.now(), by: new Set(), cancel: () => undefined };
    suspicion.by.add(by);
    this.#all.set(id, suspicion);
    this.#wait(id, suspicion);
    return true;
  }

  acquit(id: string): void {
    this.#all.get(id)?.cancel();
    this.#all.delete(id);
  }

  #wait(id: string, suspicion: Suspicion): void {
    const { clock, hosts } = this.#needs;
    const expected = expectedConfirmations(hosts());
    const timeout = suspicionTimeout(suspicion.by.size - 1, expected, suspicionRange(hosts()));
    this.#judgeAt(id, suspicion, Math.max(clock.now(), suspicion.since + timeout));
  }

  #judgeAt(id: string, suspicion: Suspicion, due: number): void {
    const { clock, postponed, judged } = this.#needs;
    suspicion.cancel();
    suspicion.cancel = clock.after(due - clock.now(), () => {
      const wait = postponed(clock.now() - due);
      if (this.#all.get(id) !== suspicion) return;
      if (wait > 0) this.#judgeAt(id, suspicion, clock.now() + wait);
      else judged(id);
    });
  }
}
