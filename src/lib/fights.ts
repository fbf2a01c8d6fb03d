/** What is put right more often than this within `window` milliseconds is fought over by someone else. */
const most = 4;
const window = 60_000;
/** Beyond so many things only the latest are known. */
const mostKnown = 4096;

/** What was put right again and again: to be said once, and to be done seldom. Time is an argument. */
export class Fights {
  readonly #history = new Map<string, readonly number[]>();

  /** Notes that this was put right. @returns 'begun' when it is fought over from now on, 'going' when it has been before */
  note(what: string, now: number): 'none' | 'begun' | 'going' {
    const times = [...(this.#history.get(what) ?? []).filter((time) => now - time < window).slice(-most), now];
    this.#history.delete(what);
    this.#history.set(what, times);
    const [oldest] = this.#history.keys();
    if (this.#history.size > mostKnown && oldest !== undefined) this.#history.delete(oldest);
    if (times.length <= most) return 'none';
    return this.#told.has(what) ? 'going' : this.#begin(what);
  }

  /** Whether anything is fought over now. */
  isOn(now: number): boolean {
    for (const what of this.#told) {
      const last = this.#history.get(what)?.at(-1);
      if (last !== undefined && now - last < window) return true;
      this.#told.delete(what);
    }
    return false;
  }

  readonly #told = new Set<string>();

  #begin(what: string): 'begun' {
    this.#told.add(what);
    return 'begun';
  }
}
