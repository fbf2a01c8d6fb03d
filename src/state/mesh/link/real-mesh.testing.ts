import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { silent } from '../../../lib/log.ts';
import type { Clock, DiskChange, Environment, Seal } from '../environment.ts';
import { Mesh } from '../mesh.ts';
import { parseRoomRecord, type RoomRecord } from '../room/record.ts';
import { type FirstCluster, openRoom, type Room } from '../room/room.ts';
import { sealOf, verify } from '../signing.ts';
import { admit, serveAsAdmin } from '../trust/admissions.ts';
import { type Change, removal, rotation } from '../trust/changes.ts';
import { parseEvidence } from '../trust/evidence.ts';
import { clusterIdOf, found, type Genesis } from '../trust/genesis.ts';
import type { Side } from '../trust/handshake.ts';
import { reasons } from '../trust/refused.ts';
import { Token } from '../trust/token.ts';
import { judgeOf } from '../trust/trust.ts';
import { TrustView } from '../trust/view.ts';
import { parseLinkAddress } from './address.ts';
import { Courier } from './courier.ts';
import { type Datagrams, openDatagrams } from './datagrams.ts';
import type { Greeting } from './greet.ts';
import { type RealHost, realHost } from './link.testing.ts';
import { type OpenLinks, openLinks } from './links.ts';

const clock: Clock = {
  now: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms).unref();
    return () => clearTimeout(timer);
  },
};

const facts = { created: '2026-11-20T18:00:00.000Z', dataPort: 4789, underlay: 4 } as const;

/** One host with real keys, TLS and datagrams on loopback, and a disk that holds only what it waited with. */
export class RealMesh {
  readonly host: RealHost;
  readonly name: string;
  readonly ended: Greeting[] = [];
  /** What it kept while it waited, and the cluster with which it left the room. */
  readonly disk: { waiting?: RoomRecord; cluster?: FirstCluster };
  /** Told when it is about to keep something, and when it has. */
  keeping: ((record: RoomRecord, isKept: boolean) => void) | undefined;
  readonly #port: number;
  #room: Room | undefined;
  #isDead = false;
  readonly #seal: Seal;
  #token: Token | undefined;
  #links: OpenLinks | undefined;
  #datagrams: Datagrams | undefined;
  #cluster: { readonly genesis: Genesis; readonly view: TrustView; readonly mesh: Mesh } | undefined;

  /** After another one, its next life. */
  constructor(name: string, before?: RealMesh) {
    this.name = name;
    this.host = before?.host ?? realHost('host');
    this.disk = before?.disk ?? {};
    this.#port = before?.port ?? 0;
    this.#seal = sealOf(this.host.signer);
  }

  /** Listens until the test ends. */
  async open(t: TestContext): Promise<this> {
    const { credentials } = this.host;
    const links = await openLinks({
      ...{ credentials, address: '127.0.0.1', port: this.#port, log: silent },
      events: () => this.#cluster?.mesh,
      ended: (greeting) => {
        this.ended.push(greeting);
        if (greeting.kind !== 'met') return;
        if (this.#room !== undefined) this.#room.met(greeting.channel);
        else greeting.channel.close('this host waits no more');
      },
      greeter: () => ({
        ...{ side: this.#side(), verify, log: silent },
        admit: async (claim) => await admit(claim, { sheets: this.mesh.sheets, view: this.view, verify, clock }),
        learn: (genesis, shown) => this.#learn(genesis, shown),
      }),
    });
    this.#links = links;
    t.after(() => this.die());
    const courier = new Courier({
      ...{ self: this.host.id, privateKey: this.host.privateKey, cluster: '' },
      keyOf: (id) => this.#cluster?.view.now().hosts.get(id)?.key,
      random: (size) => crypto.getRandomValues(new Uint8Array(size)),
      now: () => performance.now(),
    });
    const datagrams = await openDatagrams({
      ...{ courier, address: '127.0.0.1', port: links.port, log: silent },
      addressOf: (id) => this.#addressOf(id),
      received: (from, message) => this.#cluster?.mesh.datagram(from, message),
    });
    this.#datagrams = datagrams;
    return this;
  }

  get port(): number {
    return this.#links?.port ?? 0;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** From now on it says nothing and keeps nothing. May be called twice. */
  die(): void {
    this.#isDead = true;
    this.#room?.close();
    this.#links?.close();
    this.#datagrams?.close();
    this.#cluster?.mesh.close();
  }

  /** Waits with a token that no cluster made, or goes on with what its disk holds, and connects to these. */
  wait(token: Token, targets: readonly string[] = []): void {
    this.#token = token;
    if (this.disk.cluster !== undefined) {
      this.#leave(this.disk.cluster);
      return;
    }
    const { waiting: stored } = this.disk;
    this.#room = openRoom({
      ...{ seal: this.#seal, token, name: this.name, addresses: [this.address], stored },
      ...{ clock, random: Math.random, log: silent },
      facts: () => ({ ...facts, nonce: randomBytes(16).toString('hex') }),
      dial: async (address, host) => void (await this.dial(address, host)),
      save: (record) => this.#save(record),
      done: async (cluster) => {
        this.disk.cluster = cluster;
        this.#leave(cluster);
      },
    });
    for (const target of targets) void this.#connect(target);
  }

  async #save(record: RoomRecord): Promise<void> {
    this.keeping?.(record, false);
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#isDead) throw new Error('it is dead');
    this.disk.waiting = parseRoomRecord(JSON.parse(JSON.stringify(record)));
    this.keeping?.(record, true);
  }

  #leave({ genesis, sheets, hosts }: FirstCluster): void {
    this.#room?.close();
    this.#room = undefined;
    // The founder has nobody to ask what it had said: it says something at once, and the others hear it.
    const isFounder = genesis.founder === this.host.signer.key;
    this.#begin(genesis, sheets, isFounder ? [] : [...hosts.values()].flat());
  }

  async #connect(target: string): Promise<void> {
    while (!this.#isDead && !this.isIn) {
      await this.dial(target);
      await pause(250, undefined, { ref: false });
    }
  }

  get mesh(): Mesh {
    return this.#cluster?.mesh ?? failed(this.name);
  }

  get view(): TrustView {
    return this.#cluster?.view ?? failed(this.name);
  }

  get isIn(): boolean {
    return this.#cluster !== undefined;
  }

  /** Founds a cluster, and answers its token. */
  async found(): Promise<Token> {
    const genesis = found({ ...facts, nonce: '0'.repeat(32) }, this.host.signer);
    this.#begin(genesis, []);
    const token = new Token(crypto.getRandomValues(new Uint8Array(16)), clusterIdOf(genesis));
    await this.say(rotation(this.view.now(), token.signer()));
    return token;
  }

  /** Removes a host and makes another token. */
  async remove({ host }: RealMesh): Promise<Token> {
    const { view, mesh } = this;
    const genesis = this.#cluster?.genesis ?? failed(this.name);
    const token = new Token(crypto.getRandomValues(new Uint8Array(16)), view.cluster);
    const admin = { signer: this.host.signer, judge: judgeOf(genesis, verify), sheets: mesh.sheets.list('trust') };
    const change = removal(admin, new Set([host.id]));
    await this.say(new Map([...change, ...rotation(view.now(), token.signer())]));
    return token;
  }

  async say(change: Change): Promise<void> {
    await this.mesh.sheets.change('trust', (draft) => {
      for (const [key, said] of change) draft.put(key, JSON.parse(JSON.stringify(said)));
    });
  }

  /** Tries once; answers why it did not work. */
  join(token: Token, address: string): Promise<string | undefined> {
    this.#token = token;
    return this.dial(address);
  }

  dial(address: string, host?: string): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#links?.dial(address, host, {
        failed: resolve,
        opened: (link) => {
          if (this.#cluster === undefined) link.close('this host leaves the room first');
          else this.mesh.accepted(link);
          resolve(undefined);
        },
      });
    });
  }

  #side(): Side {
    const { signer } = this.host;
    const cluster = this.#cluster;
    if (cluster === undefined) {
      const token = this.#token ?? new Token(new Uint8Array(16));
      return {
        ...{ kind: 'waiting', signer, token, name: this.name, addresses: [this.address] },
        trustOf: (genesis, shown) => judgeOf(genesis, verify)(this.#read(genesis, shown)),
      };
    }
    const { genesis, view, mesh } = cluster;
    return {
      ...{ kind: 'member', key: signer.key, genesis, empty: false },
      trust: () => view.now(),
      trustWith: (shown) => view.with(parseEvidence(shown, { genesis, seal: this.#seal })),
      sheets: () => mesh.shown('trust'),
    };
  }

  #read(genesis: Genesis, shown: readonly unknown[]) {
    const sheets = parseEvidence(shown, { genesis, seal: this.#seal });
    return sheets.map(({ head, entries }) => ({ owner: head.owner, entries: new Map(entries) }));
  }

  #learn(genesis: Genesis, shown: readonly unknown[]): void {
    if (this.#room !== undefined) this.#room.learn({ genesis, sheets: shown });
    else if (this.#cluster === undefined) this.#begin(genesis, shown);
  }

  #begin(genesis: Genesis, shown: readonly unknown[], targets: readonly string[] = []): void {
    const stored = parseEvidence(shown, { genesis, seal: this.#seal });
    const view: TrustView = new TrustView(genesis, verify, () => this.#cluster?.mesh.sheets.list('trust') ?? []);
    const environment: Environment = {
      ...{ clock, random: Math.random, seal: this.#seal, trust: view, log: silent },
      disk: { write: (_: readonly DiskChange[], done) => setImmediate(done) },
      links: { dial: (address, peer, outcome) => this.#links?.dial(address, peer, outcome) },
      datagrams: { send: (to, message) => this.#datagrams?.send(to, message) },
    };
    const mesh = new Mesh(environment, {
      ...{
        self: this.host.id,
        epoch: 1,
        addresses: [this.address],
        targets,
        discovery: true,
        stored,
        answer: async (_, question) => question,
      },
    });
    this.#cluster = { genesis, view, mesh };
    serveAsAdmin({ sheets: mesh.sheets, view, verify, clock }, (error) => {
      throw error;
    });
    mesh.sheets.watch(({ scope }) => {
      if (scope === 'trust')
        this.#links?.end((id) => (view.now().removed.has(id) ? `it ${reasons.removed}` : undefined));
    });
    mesh.start();
  }

  #addressOf(id: string): { address: string; port: number } | undefined {
    const said = this.#cluster?.mesh.sheets.read(id, 'host')?.entries.get('addresses');
    const [first] = Array.isArray(said) ? said : [];
    if (typeof first !== 'string') return undefined;
    const { host, port } = parseLinkAddress(first);
    return { address: host, port };
  }
}

function failed(name: string): never {
  throw new Error(`${name} belongs to no cluster`);
}
