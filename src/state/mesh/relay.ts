import type { Update } from './content.ts';
import { sizeOf } from './draft.ts';
import { compareStates, nameOf, type State } from './head.ts';

/** What is remembered of sheets of networks that this host is not on. */
const most = { sheets: 1024, characters: 4 * 1024 * 1024 } as const;

interface Passed {
  readonly update: Update;
  readonly size: number;
}

/** What goes through this host without staying: the newest update of each such sheet, as long as there is room. */
export class Relay {
  readonly #passed = new Map<string, Passed>();
  #size = 0;

  /** How far a sheet is known to have come. */
  state(sheet: Parameters<typeof nameOf>[0]): State | undefined {
    return this.#passed.get(nameOf(sheet))?.update.head;
  }

  remember(update: Update): void {
    const name = nameOf(update.head);
    this.#forget(name);
    const size = update.put.reduce((sum, [key, value]) => sum + sizeOf(key, value), 0);
    this.#passed.set(name, { update, size });
    this.#size += size;
    for (const oldest of this.#passed.keys()) {
      if (this.#passed.size <= most.sheets && this.#size <= most.characters) return;
      this.#forget(oldest);
    }
  }

  /** What brings who holds `from` further, if that is still known. */
  since(sheet: Parameters<typeof nameOf>[0], from: State | undefined): Update | undefined {
    const update = this.#passed.get(nameOf(sheet))?.update;
    return update?.base === undefined || compareStates(update.base, from) === 0 ? update : undefined;
  }

  #forget(name: string): void {
    this.#size -= this.#passed.get(name)?.size ?? 0;
    this.#passed.delete(name);
  }
}
