import { Refusal } from '../../lib/errors.ts';
import { type Content, changedKeys, contentAfter, type Held, held, nothing, type Update } from './content.ts';
import { Editing } from './draft.ts';
import type { Disk, Seal } from './environment.ts';
import { compareStates, forgets, statement } from './head.ts';
import type { Draft, Json, Scope, Version } from './sheets.ts';
import { diskChange, type Outcome, type Shelf } from './shelf.ts';
import { compareVersions } from './version.ts';

export interface OwnNeeds {
  readonly self: string;
  readonly cluster: string;
  readonly seal: Seal;
  readonly disk: Disk;
  readonly shelf: Shelf;
  /** What was said newly: on disk, and to be told. */
  readonly said: (sheet: Held) => void;
  /** What others remembered of this host, before what this life said is put on top of it. */
  readonly recalled: (sheet: Held) => void;
}

interface Asked {
  /** Throws what the edit throws. */
  readonly apply: (editing: Editing) => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * What this host says. One write at a time is under way; what is asked for meanwhile is gathered, one version a scope.
 * Nothing is said before `begin`; and never under an epoch that this host may have used in an earlier life: the epoch
 * grows with each life and is put above any that others remember.
 */
export class Own {
  readonly #needs: OwnNeeds;
  readonly #asked = new Map<Scope, Asked[]>();
  readonly #taken: Update[] = [];
  /** The keys that were changed in this life, which a memory of an earlier life does not undo. */
  readonly #touched = new Map<Scope, Set<string>>();
  #epoch: number;
  #begun = false;
  #writing = false;

  constructor(needs: OwnNeeds, epoch: number) {
    this.#needs = needs;
    const mine = [...needs.shelf.all()].filter(({ owner }) => owner === needs.self);
    this.#epoch = Math.max(epoch, ...mine.map(({ version }) => version[0] + 1));
  }

  /** Which life this is. */
  get epoch(): number {
    return this.#epoch;
  }

  get begun(): boolean {
    return this.#begun;
  }

  /** From now on this host says what it is asked to. May be called again. */
  begin(): void {
    this.#begun = true;
    this.#flush();
  }

  change<T>(scope: Scope, edit: (draft: Draft) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      let result: { readonly value: T } | undefined;
      const apply = (editing: Editing) => {
        result = { value: editing.apply(edit) };
      };
      const asked = this.#asked.get(scope) ?? [];
      this.#asked.set(scope, asked);
      asked.push({ apply, resolve: () => result && resolve(result.value), reject });
      this.#flush();
    });
  }

  /** Another host remembers more of what this host said than this host does: its disk was rolled back. */
  remember(update: Update): Outcome {
    const { shelf, seal, cluster, self } = this.#needs;
    const { head } = update;
    const mine = shelf.read(self, head.scope)?.head;
    const forgotten = mine !== undefined && forgets(mine, head);
    if (compareStates(head, mine) <= 0 && !forgotten) return 'known';
    if (forgotten && update.base !== undefined) return 'gap';
    if (!seal.verify(seal.key, statement(cluster, head), head.signature)) return 'forged';
    const made = shelf.make(update);
    if (typeof made === 'string') return made;
    this.#epoch = Math.max(this.#epoch, head.version[0] + 1);
    if (this.#taken.length < 64) this.#taken.push(update);
    this.#flush();
    return 'taken';
  }

  #flush(): void {
    if (this.#writing) return;
    const recalled = [...this.#recalled()];
    const busy = new Set(recalled.map(({ sheet }) => sheet.scope));
    const sheets = [...recalled, ...this.#edited(busy)];
    if (sheets.length === 0) return;
    this.#writing = true;
    const { disk, shelf, said } = this.#needs;
    const changes = sheets.map(({ sheet }) => diskChange(sheet, shelf.read(sheet.owner, sheet.scope)?.head));
    disk.write(changes, (error) => {
      this.#writing = false;
      for (const { sheet, asked } of sheets) {
        if (error !== undefined) {
          const refusal = new Refusal('unavailable', `cannot keep what this host says: ${error.message}`, {
            cause: error,
          });
          for (const { reject } of asked) reject(refusal);
          continue;
        }
        shelf.hold(sheet);
        said(sheet);
        for (const { resolve } of asked) resolve();
      }
      this.#flush();
    });
  }

  /** What others remembered, with what was changed in this life on top of it. */
  *#recalled(): Generator<Flush> {
    const { shelf, self } = this.#needs;
    const scopes = new Set<Scope>();
    for (const update of this.#taken.splice(0)) {
      const { scope } = update.head;
      const mine = shelf.read(self, scope);
      const news =
        compareStates(update.head, mine?.head) > 0 || (mine !== undefined && forgets(mine.head, update.head));
      // A second memory of the same scope waits to be told again: the first has just changed what it is compared with.
      const made = !news || scopes.has(scope) ? 'known' : shelf.make(update);
      if (typeof made === 'string') continue;
      scopes.add(scope);
      this.#needs.recalled(made);
      const changed = [...(this.#touched.get(scope) ?? [])].map((key) => [key, mine?.entries.get(key)] as const);
      yield { sheet: this.#merge(scope, mine, made, changed), asked: [] };
    }
  }

  *#edited(busy: ReadonlySet<Scope>): Generator<Flush> {
    if (!this.#begun) return;
    const { shelf, self } = this.#needs;
    for (const [scope, all] of [...this.#asked].filter(([scope]) => !busy.has(scope))) {
      this.#asked.delete(scope);
      const before = shelf.read(self, scope);
      const editing = new Editing(scope, before?.entries ?? nothing.entries, before?.size ?? 0);
      const asked = all.filter((one) => succeeds(one, editing));
      const { entries, keys } = editing.result();
      const sheet = this.#next(
        scope,
        before,
        keys.map((key) => [key, entries.get(key)] as const),
      );
      if (sheet === undefined) for (const { resolve } of asked) resolve();
      else {
        this.#touch(scope, keys);
        yield { sheet, asked };
      }
    }
  }

  /** What others remember, with what this life changed on top: a new version, unless that changes nothing. */
  #merge(scope: Scope, mine: Held | undefined, memory: Held, changed: Changed): Held {
    const content = contentAfter(memory, split(changed), this.#needs.seal);
    const ahead = mine === undefined || compareStates(memory.head, mine.head) > 0;
    // Too long together: the newer one stays.
    if (content === undefined) return ahead ? memory : mine;
    if (content.digest === memory.head.digest && ahead) return memory;
    const before = mine === undefined || mine.version[0] === this.#epoch ? (mine?.head.over ?? [0, 0]) : mine.version;
    const over = compareVersions(memory.version, before) > 0 ? memory.version : before;
    return this.#sign(scope, content, mine, changedKeys(mine?.hashes ?? nothing.hashes, content.hashes), over);
  }

  /** The next version of a sheet of this host; undefined when nothing changes. */
  #next(scope: Scope, before: Held | undefined, changed: Changed): Held | undefined {
    const content = contentAfter(before ?? nothing, split(changed), this.#needs.seal);
    if (content === undefined || content.digest === before?.head.digest) return undefined;
    if (before === undefined && content.entries.size === 0) return undefined;
    const over = before?.version[0] === this.#epoch ? before.head.over : before?.version;
    return this.#sign(
      scope,
      content,
      before,
      changed.map(([key]) => key),
      over,
    );
  }

  #sign(
    scope: Scope,
    content: Content,
    before: Held | undefined,
    keys: readonly string[],
    over: Version | undefined,
  ): Held {
    const { seal, self, cluster } = this.#needs;
    const seq = before?.version[0] === this.#epoch ? before.version[1] + 1 : 1;
    const unsigned = {
      owner: self,
      scope,
      version: [this.#epoch, seq],
      digest: content.digest,
      ...(over ? { over } : {}),
    } as const;
    return held({ ...unsigned, signature: seal.sign(statement(cluster, unsigned)) }, content, before, keys);
  }

  #touch(scope: Scope, keys: readonly string[]): void {
    const touched = this.#touched.get(scope) ?? new Set();
    this.#touched.set(scope, touched);
    for (const key of keys) touched.add(key);
  }
}

type Changed = readonly (readonly [key: string, value: Json | undefined])[];

function split(changed: Changed): Pick<Update, 'put' | 'gone'> {
  return {
    put: changed.flatMap(([key, value]) => (value === undefined ? [] : [[key, value] as const])),
    gone: changed.flatMap(([key, value]) => (value === undefined ? [key] : [])),
  };
}

interface Flush {
  readonly sheet: Held;
  readonly asked: readonly Asked[];
}

function succeeds({ apply, reject }: Asked, editing: Editing): boolean {
  try {
    apply(editing);
    return true;
  } catch (error) {
    reject(error);
    return false;
  }
}
