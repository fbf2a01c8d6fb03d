import { changedKeys, contentAfter, type Held, held, nothing, type Update } from './content.ts';
import type { Clock, Disk, DiskChange, Seal, StoredSheet, Trust } from './environment.ts';
import { compareStates, forgets, type Mark, nameOf, networkOf, type State, statement } from './head.ts';
import { Marks } from './marks.ts';
import type { Scope, SheetChange } from './sheets.ts';

/**
 * What became of an update of another host's sheet.
 * - `taken`: it is held now · `known`, `old`: nothing new · `gap`: what it changes is not held here
 * - `unadmitted`: its owner may not say this, as far as is known here · `forged`: the owner did not sign this
 * - `altered`: the owner signed another content · `forgotten`: the owner said this without knowing what is held here
 */
export type Outcome = 'taken' | 'forgotten' | 'known' | 'old' | 'gap' | 'unadmitted' | 'forged' | 'altered';

export interface ShelfNeeds {
  readonly seal: Seal;
  readonly trust: Trust;
  readonly disk: Disk;
  readonly clock: Clock;
  /** Whether a host can still be told what it had forgotten. */
  readonly lives: (host: string) => boolean;
}

/** Milliseconds in which what came of others is gathered for one write: losing it costs asking again. */
const writeDelay = 500;

/** Every sheet that is held here: the only place that takes one in, after the proof. */
export class Shelf {
  readonly #needs: ShelfNeeds;
  readonly #sheets = new Map<string, Held>();
  readonly #scopes = new Map<Scope, Map<string, Held>>();
  readonly #groups = new Map<string, Marks>();
  readonly #listeners = new Set<(change: SheetChange) => void>();
  #unwritten: DiskChange[] = [];

  constructor(needs: ShelfNeeds, stored: readonly StoredSheet[]) {
    this.#needs = needs;
    for (const { head, entries } of stored) {
      const content = contentAfter(nothing, { put: entries, gone: [] }, needs.seal);
      if (content?.digest === head.digest) this.#put(held(head, content, undefined, []));
    }
  }

  read(owner: string, scope: Scope): Held | undefined {
    return this.#sheets.get(nameOf({ owner, scope }));
  }

  /** All of a scope, by owner. */
  within(scope: Scope): ReadonlyMap<string, Held> {
    return this.#scopes.get(scope) ?? new Map();
  }

  all(): Iterable<Held> {
    return this.#sheets.values();
  }

  /** The marks of a group: the sheets that every host holds, or those of one network. */
  group(name: string): Marks {
    const group = this.#groups.get(name) ?? new Marks(this.#needs.seal);
    this.#groups.set(name, group);
    return group;
  }

  watch(listener: (change: SheetChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Whether the owner may say anything there, as far as is known here. */
  admits({ owner, scope, version }: Mark): boolean {
    return this.#needs.trust.keyFor(owner, scope, version) !== undefined;
  }

  /** Whether the owner signed this, and may say it. */
  judge({ head }: Pick<Update, 'head'>): 'good' | 'unadmitted' | 'forged' {
    const { seal, trust } = this.#needs;
    const key = trust.keyFor(head.owner, head.scope, head.version);
    if (key === undefined) return 'unadmitted';
    return seal.verify(key, statement(trust.cluster, head), head.signature) ? 'good' : 'forged';
  }

  /** What the update makes of the sheet that is held. */
  make(update: Update): Held | 'gap' | 'altered' {
    const before = this.read(update.head.owner, update.head.scope);
    const fits = update.base === undefined || (before !== undefined && compareStates(before.head, update.base) === 0);
    if (!fits) return 'gap';
    const content = contentAfter((update.base && before) ?? nothing, update, this.#needs.seal);
    if (content?.digest !== update.head.digest) return 'altered';
    return held(update.head, content, before, changedKeys(before?.hashes ?? new Map(), content.hashes));
  }

  /** Takes in what another host said, if it did and may. */
  take(update: Update): Outcome {
    const before = this.read(update.head.owner, update.head.scope);
    const order = compareStates(update.head, before?.head);
    if (order <= 0) return order === 0 ? 'known' : 'old';
    const judged = this.judge(update);
    if (judged !== 'good') return judged;
    if (before !== undefined && forgets(update.head, before.head) && this.#needs.lives(update.head.owner))
      return 'forgotten';
    const made = this.make(update);
    if (typeof made === 'string') return made;
    this.#write(made, before);
    this.hold(made);
    return 'taken';
  }

  /** Holds what is proven, and on disk if it has to be. */
  hold(sheet: Held): void {
    const before = this.read(sheet.owner, sheet.scope);
    this.#put(sheet);
    const keys = changedKeys(before?.hashes ?? new Map(), sheet.hashes);
    this.#tell({ owner: sheet.owner, scope: sheet.scope, keys, sheet });
  }

  /** Forgets what is not to be held any longer. */
  drop(unwanted: (sheet: Held) => boolean): void {
    for (const sheet of [...this.#sheets.values()].filter(unwanted)) {
      const { owner, scope } = sheet;
      this.#sheets.delete(nameOf(sheet));
      this.#scopes.get(scope)?.delete(owner);
      this.group(groupOf(scope)).delete(sheet);
      this.#gather({ owner, scope, head: undefined, whole: true, put: [], remove: [] });
      this.#tell({ owner, scope, keys: [...sheet.entries.keys()], sheet: undefined });
    }
  }

  #put(sheet: Held): void {
    this.#sheets.set(nameOf(sheet), sheet);
    const scope = this.#scopes.get(sheet.scope) ?? new Map<string, Held>();
    this.#scopes.set(sheet.scope, scope.set(sheet.owner, sheet));
    this.group(groupOf(sheet.scope)).put(sheet.head);
  }

  #write(sheet: Held, before: Held | undefined): void {
    this.#gather(diskChange(sheet, before?.head));
  }

  #gather(change: DiskChange): void {
    if (this.#unwritten.length === 0) this.#needs.clock.after(writeDelay, () => this.#flush());
    this.#unwritten.push(change);
  }

  /** A disk that refuses other hosts' sheets costs asking for them again after a restart; own ones are another matter. */
  #flush(): void {
    const changes = this.#unwritten;
    this.#unwritten = [];
    this.#needs.disk.write(changes, () => undefined);
  }

  #tell(change: SheetChange): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}

/** What a disk that holds the sheet at `from` has to change. */
export function diskChange(sheet: Held, from: State | undefined): DiskChange {
  const { owner, scope, head, entries, past } = sheet;
  const last = past.at(-1);
  if (from === undefined || last === undefined || compareStates(last.from, from) !== 0)
    return { owner, scope, head, whole: true, put: [...entries], remove: [] };
  const put = last.keys.flatMap((key) => {
    const value = entries.get(key);
    return value === undefined ? [] : [[key, value] as const];
  });
  return { owner, scope, head, whole: false, put, remove: last.keys.filter((key) => !entries.has(key)) };
}

export function groupOf(scope: Scope): string {
  return networkOf(scope) === undefined ? 'all' : scope;
}
