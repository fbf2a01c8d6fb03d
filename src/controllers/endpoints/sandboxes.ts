import { randomBytes } from 'node:crypto';
import { Refusal } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { type Endpoint, hostNamespace } from '../../model/endpoint.ts';
import type { Journal } from '../../state/journal.ts';
import type { NameFeed } from '../names/names.ts';
import type { Sandbox } from './endpoints.ts';
import { claimed } from './holdings.ts';
import {
  type Connected,
  connectedPlaces,
  named,
  type Place,
  parseSandboxRecord,
  type SandboxRecord,
} from './sandbox-record.ts';

/** What this host has promised to its sandboxes: in memory, and in the journal. */
export class Sandboxes {
  readonly #records = new Map<string, SandboxRecord>();
  readonly #starts = new Set<string>();
  readonly #adopted = new Map<string, string>();
  /** By id: the endpoints that are connected. */
  readonly #endpoints = new Map<string, Endpoint>();
  /** By `nameKey`: the id of the endpoint that is connected. */
  readonly #named = new Map<string, string>();
  readonly #journal: Pick<Journal, 'load' | 'commit'>;
  readonly #names: Pick<NameFeed, 'sandbox'>;
  readonly #folder: string;

  /** `folder`: where namespaces are pinned. */
  constructor(
    {
      journal,
      names,
    }: { readonly journal: Pick<Journal, 'load' | 'commit'>; readonly names: Pick<NameFeed, 'sandbox'> },
    folder: string,
  ) {
    this.#journal = journal;
    this.#names = names;
    this.#folder = folder;
  }

  /** Takes up what earlier lives left; what cannot be read is passed over. Nobody is told of it yet: it may be gone. */
  async load(log: Log): Promise<void> {
    for (const { id, value } of await this.#journal.load('sandbox')) {
      try {
        this.#enter(parseSandboxRecord(value, `sandbox ${id} in the state directory`));
      } catch (error) {
        log.error('a sandbox of the state directory is passed over', { sandbox: id, error });
      }
    }
  }

  /** An id of which also the first 7 digits are used only once: the port on the gateway bridge is named by them. */
  freshId(): string {
    for (;;) {
      const id = randomBytes(6).toString('hex');
      if (!this.#starts.has(id.slice(0, 7))) return id;
    }
  }

  /** In memory only. Its names are answered from now on, and no others; it asks by places that are being left, too. */
  add(record: SandboxRecord, left: readonly Place[] = []): void {
    this.#enter(record);
    this.tell(record, left);
  }

  /** What it is answered from now on. */
  tell(record: SandboxRecord, left: readonly Place[] = []): void {
    this.#names.sandbox(record.id, named(record, left));
  }

  #enter(record: SandboxRecord): void {
    this.#forget(record.id);
    for (const { id, endpoint } of connectedPlaces(record)) {
      this.#endpoints.set(id, endpoint);
      this.#named.set(nameKey(endpoint), id);
    }
    this.#records.set(record.id, record);
    this.#starts.add(record.id.slice(0, 7));
    if (record.adopted !== undefined) this.#adopted.set(record.adopted.inode, record.id);
  }

  /** In memory at once, on disk when it resolves. */
  async save(record: SandboxRecord, left: readonly Place[] = []): Promise<void> {
    this.add(record, left);
    await this.#journal.commit([{ kind: 'sandbox', id: record.id, put: record }]);
  }

  async remove({ id }: Pick<SandboxRecord, 'id'>): Promise<void> {
    this.letGo(id);
    this.#forget(id);
    this.#records.delete(id);
    this.#names.sandbox(id, undefined);
    await this.#journal.commit([{ kind: 'sandbox', id, remove: true }]);
  }

  /** Its id and its namespace may be used by another from now on, though it still has something to give back. */
  letGo(id: string): void {
    const inode = this.#records.get(id)?.adopted?.inode;
    this.#starts.delete(id.slice(0, 7));
    if (inode !== undefined && this.#adopted.get(inode) === id) this.#adopted.delete(inode);
  }

  get(id: string): SandboxRecord | undefined {
    return this.#records.get(id);
  }

  /** @throws Refusal 'not-found' */
  find(id: string): SandboxRecord {
    const record = this.#records.get(id);
    if (record === undefined) throw new Refusal('not-found', `sandbox ${id} not found`);
    return record;
  }

  list(): readonly SandboxRecord[] {
    return [...this.#records.values()];
  }

  /** A connected endpoint. */
  endpoint(id: string): Endpoint | undefined {
    return this.#endpoints.get(id);
  }

  /** The one that has claimed a name. */
  endpointNamed(network: string, name: string): Endpoint | undefined {
    return this.#endpoints.get(this.#named.get(nameKey({ network, name })) ?? '');
  }

  endpointsOn(network: string): readonly Endpoint[] {
    return [...this.#endpoints.values()].filter((endpoint) => endpoint.network === network);
  }

  /** Ids of the networks that something is connected to. */
  networks(): ReadonlySet<string> {
    return new Set(Array.from(this.#endpoints.values(), ({ network }) => network));
  }

  /** The sandbox that a namespace was adopted as. */
  adoptedAs(inode: string): string | undefined {
    return this.#adopted.get(inode);
  }

  #forget(sandbox: string): void {
    for (const { id } of this.#records.get(sandbox)?.places ?? []) {
      const endpoint = this.#endpoints.get(id);
      this.#endpoints.delete(id);
      const key = endpoint && nameKey(endpoint);
      if (key !== undefined && this.#named.get(key) === id) this.#named.delete(key);
    }
  }

  /** Path under which the namespace is pinned, or the host's own. */
  keyOf(id: string): string {
    if (this.#records.get(id)?.host) return hostNamespace;
    return `${this.#folder}/${id}`;
  }

  view(record: SandboxRecord): Sandbox {
    const { id, host, container, exit } = record;
    const places = connectedPlaces(record).map((place): [string, Connected] => [place.network, place]);
    return {
      id,
      key: this.keyOf(id),
      endpoints: new Map(places),
      ...(host && { host: true as const }),
      ...(container === undefined ? {} : { container }),
      ...(exit === undefined ? {} : { exit }),
    };
  }
}

function nameKey({ network, name }: Pick<Endpoint, 'network' | 'name'>): string {
  return `${network} ${claimed(name)}`;
}
