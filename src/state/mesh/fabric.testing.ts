import { Editing, sizeOf } from './draft.ts';
import type { Member, MemberState, Members, Scope, Sheet, SheetChange, Sheets } from './sheets.ts';
import { compareVersions } from './version.ts';

/**
 * Hosts whose sheets are copied by hand: `deliver` brings to one host all that another holds. Without time, loss or
 * signatures: for the parts above that decide on sheets. The simulation has the rest.
 */
export class Fabric {
  readonly #hosts = new Map<string, FabricHost>();
  readonly #states = new Map<string, MemberState>();

  /** The host of this id; it begins with nothing. */
  host(id: string): FabricHost {
    const known = this.#hosts.get(id);
    if (known !== undefined) return known;
    const host = new FabricHost(id, (member) => this.#states.get(member) ?? 'alive');
    this.#hosts.set(id, host);
    return host;
  }

  /** Everything that `from` holds comes to `to`. */
  deliver(from: string, to: string): void {
    this.host(to).take(from, this.host(from).held());
  }

  /** Until all of them hold the same. */
  settle(ids: readonly string[] = [...this.#hosts.keys()]): void {
    for (let round = 0; round < 2; round += 1)
      for (const from of ids) for (const to of ids) if (from !== to) this.deliver(from, to);
  }

  /** What all hosts think of this one from now on. */
  judge(id: string, state: MemberState): void {
    this.#states.set(id, state);
    for (const host of this.#hosts.values()) host.tellMembers();
  }
}

class FabricHost {
  readonly #id: string;
  readonly #stateOf: (id: string) => MemberState;
  readonly #changed = new Set<(change: SheetChange) => void>();
  readonly #membersChanged = new Set<(changed: string | undefined) => void>();
  readonly #compared = new Set<string>();
  readonly #sheets = new Map<string, Sheet>();
  #followed = new Set<string>();
  #epoch = 1;

  readonly sheets: Sheets;

  constructor(id: string, stateOf: (id: string) => MemberState) {
    this.#id = id;
    this.#stateOf = stateOf;
    this.sheets = this.#openSheets();
  }

  #openSheets(): Sheets {
    return {
      self: this.#id,
      read: (owner, scope) => this.#sheets.get(nameOf(owner, scope)),
      list: (scope) => this.held().filter((sheet) => sheet.scope === scope),
      change: async (scope, edit) => {
        const old = this.#sheets.get(nameOf(this.#id, scope));
        const entries = old?.entries ?? new Map();
        const editing = new Editing(
          scope,
          entries,
          entries.entries().reduce((sum, [key, value]) => sum + sizeOf(key, value), 0),
        );
        const result = editing.apply(edit);
        const { keys, entries: after } = editing.result();
        const seq = old?.version[0] === this.#epoch ? old.version[1] + 1 : 1;
        if (keys.length > 0) this.#hold({ owner: this.#id, scope, version: [this.#epoch, seq], entries: after }, keys);
        return result;
      },
      watch: (listener) => {
        this.#changed.add(listener);
        return () => this.#changed.delete(listener);
      },
      follow: (networks) => {
        this.#followed = new Set(networks);
        for (const { owner, scope } of this.held()) if (!this.#wants(scope)) this.#forget(owner, scope);
      },
    };
  }

  readonly members: Members = {
    list: () => {
      const ids = new Set([this.#id, ...this.held().map(({ owner }) => owner)]);
      const state = (id: string): MemberState => (id === this.#id ? 'alive' : this.#stateOf(id));
      return [...ids].toSorted().map((id): Member => ({ id, state: state(id) }));
    },
    state: (host) => this.members.list().find(({ id }) => id === host)?.state,
    watch: (listener) => {
      this.#membersChanged.add(listener);
      return () => this.#membersChanged.delete(listener);
    },
    compared: () => this.#compared,
  };

  /** All sheets that it holds, as its disk would keep them. */
  held(): readonly Sheet[] {
    return [...this.#sheets.values()].toSorted((a, b) => (a.owner < b.owner ? -1 : 1));
  }

  /** It starts again with what its disk held at some time; its epoch grows, listeners are forgotten. */
  restart(disk: readonly Sheet[] = this.held()): void {
    this.#sheets.clear();
    this.#compared.clear();
    this.#changed.clear();
    this.#membersChanged.clear();
    for (const sheet of disk) this.#sheets.set(nameOf(sheet.owner, sheet.scope), sheet);
    const mine = disk.filter(({ owner }) => owner === this.#id);
    this.#epoch = Math.max(0, ...mine.map(({ version }) => version[0])) + 1;
  }

  take(from: string, sheets: readonly Sheet[]): void {
    const news = this.#compared.size;
    for (const sheet of sheets) {
      const mine = this.#sheets.get(nameOf(sheet.owner, sheet.scope));
      if (!this.#wants(sheet.scope) || (mine && compareVersions(mine.version, sheet.version) >= 0)) continue;
      const keys = new Set([...sheet.entries.keys(), ...(mine?.entries.keys() ?? [])]);
      const changed = [...keys].filter((key) => mine?.entries.get(key) !== sheet.entries.get(key));
      if (sheet.owner === this.#id) this.#epoch = Math.max(this.#epoch, sheet.version[0] + 1);
      this.#hold(sheet, changed);
      if (mine === undefined) this.tellMembers();
    }
    if (this.#compared.add(from).size > news) this.tellMembers();
  }

  tellMembers(): void {
    for (const listener of [...this.#membersChanged]) listener(undefined);
  }

  #wants(scope: Scope): boolean {
    return !scope.startsWith('network:') || this.#followed.has(scope.slice('network:'.length));
  }

  #hold(sheet: Sheet, keys: readonly string[]): void {
    this.#sheets.set(nameOf(sheet.owner, sheet.scope), sheet);
    this.#tell({ owner: sheet.owner, scope: sheet.scope, keys, sheet });
  }

  #forget(owner: string, scope: Scope): void {
    const keys = [...(this.#sheets.get(nameOf(owner, scope))?.entries.keys() ?? [])];
    if (owner === this.#id || !this.#sheets.delete(nameOf(owner, scope))) return;
    this.#tell({ owner, scope, keys, sheet: undefined });
  }

  #tell(change: SheetChange): void {
    for (const listener of [...this.#changed]) listener(change);
  }
}

function nameOf(owner: string, scope: Scope): string {
  return `${scope} ${owner}`;
}
