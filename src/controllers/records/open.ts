import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { pause } from '../../lib/backoff.ts';
import { messageOf, Refusal } from '../../lib/errors.ts';
import { Feed } from '../../lib/feed.ts';
import type { Log } from '../../lib/log.ts';
import { Serial } from '../../lib/serial.ts';
import { NameRecord, withoutDomain } from '../../model/name-record.ts';
import type { NamedPort } from '../../model/named-port.ts';
import type { Journal } from '../../state/journal.ts';
import type { Entry, Registry } from '../../state/registry.ts';
import type { Hosts } from '../hosts/hosts.ts';
import type { Networks } from '../networks/networks.ts';
import { givenName } from './given-name.ts';
import { Kept, scope } from './kept.ts';
import type { AddRecord, RecordState, Records, RemoveRecord } from './records.ts';

export interface RecordsNeeds {
  readonly registry: Pick<Registry, 'publish' | 'withdraw' | 'watch'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly hosts: Pick<Hosts, 'self' | 'get'>;
  readonly networks: Pick<Networks, 'find' | 'get' | 'list' | 'confirm' | 'onGone'>;
  readonly answers: Answers;
  readonly log: Log;
  readonly now: () => number;
}

export interface RecordsInit {
  /** Of our names: `db.skein.local` is `db`. */
  readonly domains: readonly string[];
  /** How long the start waits to hear of the records of others, in milliseconds: longer than the store is waited for. */
  readonly wait?: number;
}

/** Who answers with them. */
export interface Answers {
  /** New or changed, whole. */
  record(record: NameRecord, lost: boolean): void;
  recordGone(id: string): void;
  /** Resolves when questions are answered from all that was told before. */
  told(): Promise<void>;
}

export interface OpenedRecords extends Records {
  close(): Promise<void>;
}

/** Of one host. */
const mostRecords = 1_000;
/** How often it is looked for names whose network is gone, besides when one goes, in milliseconds. */
const pruning = 30_000;
const hearing = 2_000;

/**
 * Takes up what earlier lives were given, and answers with it and with what others were given. A store that is away, with
 * nothing remembered, is not waited for.
 */
export async function openRecords(needs: RecordsNeeds, init: RecordsInit): Promise<OpenedRecords> {
  const records = new HostRecords(needs, init);
  await records.load();
  return records;
}

class HostRecords implements OpenedRecords {
  readonly #needs: RecordsNeeds;
  readonly #init: RecordsInit;
  readonly #domains: readonly string[];
  readonly #own: Kept;
  readonly #others = new Map<string, RecordState>();
  readonly #serial = new Serial();
  readonly #stop = new AbortController();
  readonly #heard = new AbortController();
  /** How often networks may have gone. */
  readonly #due = new Feed(0);
  readonly #unfollow: () => void;
  #running: Promise<unknown> = Promise.resolve();

  constructor(needs: RecordsNeeds, init: RecordsInit) {
    this.#needs = needs;
    this.#init = init;
    this.#unfollow = needs.networks.onGone(() => this.#isDue());
    this.#own = new Kept({ ...needs, serial: this.#serial });
    this.#domains = init.domains.map((domain) => withoutDomain(domain, []));
  }

  async load(): Promise<void> {
    const { answers, log } = this.#needs;
    for (const record of await this.#own.load()) answers.record(record, false);
    const { signal } = this.#stop;
    const loops = [this.#follow(), this.#own.keep(signal), this.#prune(), this.#remind()];
    this.#running = Promise.all(loops).catch((error: unknown) =>
      log.error('the records of the cluster cannot be followed', { error }),
    );
    await pause(this.#init.wait ?? hearing, this.#heard.signal);
  }

  async add(request: AddRecord): Promise<NameRecord> {
    const { answers, hosts, networks, now } = this.#needs;
    const network = request.network === undefined ? undefined : networks.find(request.network).id;
    const name = givenName(request.name, {
      domains: this.#domains,
      networks: networks.list().map((one) => one.name),
    });
    return await this.#serial.run('records', async () => {
      const before = this.#own.list().find((record) => record.name === name && record.network === network);
      if (before === undefined && this.#own.size >= mostRecords) {
        throw new Refusal('conflict', `this host has ${mostRecords} names that were given by hand; remove one first`);
      }
      const made = {
        ...{ id: randomBytes(32).toString('hex'), host: hosts.self.id, epoch: hosts.self.epoch },
        created: new Date(now()).toISOString(),
      };
      const record = checked({
        ...(before ?? made),
        name,
        addresses: [...new Set([...(before?.addresses ?? []), ...request.addresses])],
        ...(network !== undefined && { network }),
        ...(request.ports && { ports: mergePorts(before?.ports ?? [], request.ports) }),
      });
      await this.#own.set(record.id, record);
      try {
        await this.#own.settle(record.id);
      } catch (error) {
        // As it was; what has reached the store all the same is taken back.
        await this.#own.set(record.id, before);
        throw error;
      }
      answers.record(record, false);
      await answers.told();
      return record;
    });
  }

  async remove(request: RemoveRecord): Promise<readonly NameRecord[]> {
    const name = withoutDomain(request.name, this.#domains);
    const network = request.network === undefined ? undefined : this.#networkOf(request.network);
    const going = new Set(request.addresses);
    const hasThem = (record: NameRecord) =>
      record.name === name && (going.size === 0 || record.addresses.some((address) => going.has(address)));
    return await this.#serial.run('records', async () => {
      const isMeant = (record: NameRecord) =>
        hasThem(record) && (request.everywhere === true || record.network === network);
      const found = this.#own.list().filter(isMeant);
      if (found.length === 0) {
        const what = going.size === 0 ? name : `${name} with ${request.addresses.join(' or ')}`;
        throw this.#notHere(what, hasThem, isMeant);
      }
      for (const record of found) {
        const left = going.size === 0 ? [] : record.addresses.filter((address) => !going.has(address));
        await this.#keepOnly(record, left);
      }
      await this.#needs.answers.told();
      return found;
    });
  }

  list(): readonly RecordState[] {
    const own = this.#own.list().map((record) => ({ record, lost: false }));
    return [...own, ...this.#others.values()].sort((a, b) => (a.record.name < b.record.name ? -1 : 1));
  }

  async close(): Promise<void> {
    this.#unfollow();
    this.#stop.abort();
    await this.#running;
  }

  /** Takes the other addresses from it; the store hears of it at once if it can. @throws JournalError */
  async #keepOnly(record: NameRecord, addresses: readonly string[]): Promise<void> {
    const { answers, log } = this.#needs;
    const { id, name } = record;
    const rest = addresses.length === 0 ? undefined : { ...record, addresses: [...addresses] };
    await this.#own.set(id, rest);
    if (rest === undefined) answers.recordGone(id);
    else answers.record(rest, false);
    try {
      await this.#own.settle(id);
    } catch (error) {
      log.warn('the store hears later of a name that was taken back', { name, error: messageOf(error) });
    }
  }

  /** @throws Refusal 'not-found' | 'invalid' */
  #networkOf(text: string): string {
    try {
      return this.#needs.networks.find(text).id;
    } catch (error) {
      // One that is gone is called by its id, as lists show it.
      const gone = text.length < 12 ? undefined : this.#own.list().find(({ network }) => network?.startsWith(text));
      if (gone?.network === undefined) throw error;
      return gone.network;
    }
  }

  #notHere(what: string, hasThem: (record: NameRecord) => boolean, isMeant: (record: NameRecord) => boolean): Refusal {
    const { hosts } = this.#needs;
    const elsewhere = this.#own.list().filter(hasThem);
    if (elsewhere.length > 0) {
      const places = elsewhere.map((record) => this.#placeOf(record)).join(', ');
      const how = 'give that with --network, nothing for the whole cluster, or --all-networks';
      return new Refusal('conflict', `the record ${what} was added for ${places}: ${how}`);
    }
    const other = [...this.#others.values()].find(({ record }) => isMeant(record));
    if (other === undefined) return new Refusal('not-found', `no record ${what} was added on this host`);
    const host = hosts.get(other.record.host)?.host.name ?? other.record.host.slice(0, 12);
    return new Refusal('conflict', `the record ${what} was added on host ${host}: remove it there`);
  }

  #placeOf({ network }: NameRecord): string {
    if (network === undefined) return 'the whole cluster';
    return `network ${this.#needs.networks.get(network)?.name ?? network.slice(0, 12)}`;
  }

  async #follow(): Promise<void> {
    for await (const event of this.#needs.registry.watch(scope, { signal: this.#stop.signal })) {
      switch (event.kind) {
        case 'snapshot': {
          const states = event.entries.flatMap(stateOf);
          const ids = new Set(states.map(({ record }) => record.id));
          for (const id of [...this.#others.keys()]) if (!ids.has(id)) this.#forget(id);
          this.#own.begin(states.filter((state) => this.#isOwn(state)).map(({ record }) => record));
          for (const state of states) this.#note(state);
          this.#heard.abort();
          break;
        }
        case 'put':
          for (const state of stateOf(event.entry)) this.#note(state);
          break;
        case 'delete':
          this.#own.note(event.id, undefined);
          this.#forget(event.id);
          break;
      }
    }
  }

  #isOwn({ record }: RecordState): boolean {
    return record.host === this.#needs.hosts.self.id;
  }

  #note(state: RecordState): void {
    const { record, lost } = state;
    if (this.#isOwn(state)) this.#own.note(record.id, record);
    else {
      this.#others.set(record.id, state);
      this.#needs.answers.record(record, lost);
    }
  }

  #forget(id: string): void {
    if (this.#others.delete(id)) this.#needs.answers.recordGone(id);
  }

  /** A removal that was not seen, or could not be followed by the store, is looked for again. */
  async #remind(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await pause(pruning, signal);
      this.#isDue();
    }
  }

  #isDue(): void {
    this.#due.set(this.#due.value + 1);
  }

  /** What was given for a network goes when that has gone. */
  async #prune(): Promise<void> {
    const { log, networks } = this.#needs;
    const { signal } = this.#stop;
    for await (const _ of this.#due.watch({ signal })) {
      const orphans = this.#own.list().filter(({ network }) => network && networks.get(network) === undefined);
      for (const { id, name, network = '' } of orphans) {
        try {
          // A host may not know every network yet: the store does.
          if ((await networks.confirm(network)) !== undefined) continue;
          await this.#serial.run('records', async () => {
            const record = this.#own.get(id);
            if (record !== undefined) await this.#keepOnly(record, []);
          });
          log.info('a name given by hand went with its network', { id, name, network });
        } catch (error) {
          log.debug('a name of a network that is gone could not be taken back', { id, name, error: messageOf(error) });
        }
      }
    }
  }
}

function stateOf({ record, lost }: Entry): RecordState[] {
  return record.kind === 'name' ? [{ record: record.record, lost }] : [];
}

/** What is given takes the place of what has its name and protocol. @throws Refusal 'invalid' */
function mergePorts(before: readonly NamedPort[], given: readonly NamedPort[]): NamedPort[] {
  const keyOf = ({ name, protocol }: NamedPort) => `${name.toLowerCase()}/${protocol}`;
  const ports = new Map(before.map((port) => [keyOf(port), port]));
  const seen = new Set<string>();
  for (const port of given) {
    const key = keyOf(port);
    if (seen.has(key)) throw new Refusal('invalid', `the port ${key} is given twice: one name has one port a protocol`);
    ports.set(key, port);
    seen.add(key);
  }
  return [...ports.values()];
}

/** As it is read again. @throws Refusal 'invalid' */
function checked(record: NameRecord): NameRecord {
  const { name, addresses } = record;
  const result = v.safeParse(NameRecord, record, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const [field, at] = (v.getDotPath(issue) ?? 'fields').split('.');
  const what = field === 'addresses' && at !== undefined ? `the address ${addresses[Number(at)]}` : `its ${field}`;
  throw new Refusal('invalid', `cannot give the name ${name}: ${what} ${issue.message}`);
}
