import type { TestContext } from 'node:test';
import { silent } from '../../../lib/log.ts';
import type { Clock, DiskChange, Environment, Seal } from '../environment.ts';
import { Mesh } from '../mesh.ts';
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
import { realHost } from './link.testing.ts';
import { type OpenLinks, openLinks } from './links.ts';

const clock: Clock = {
  now: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** One host with real keys, TLS and datagrams on loopback, and a disk that holds nothing. */
export class RealMesh {
  readonly host = realHost('host');
  readonly name: string;
  readonly ended: Greeting[] = [];
  readonly #seal: Seal;
  #token: Token | undefined;
  #links: OpenLinks | undefined;
  #datagrams: Datagrams | undefined;
  #cluster: { readonly genesis: Genesis; readonly view: TrustView; readonly mesh: Mesh } | undefined;

  constructor(name: string) {
    this.name = name;
    this.#seal = sealOf(this.host.signer);
  }

  /** Listens until the test ends. */
  async open(t: TestContext): Promise<this> {
    const { credentials } = this.host;
    const links = await openLinks({
      ...{ credentials, address: '127.0.0.1', port: 0, log: silent },
      events: () => this.#cluster?.mesh,
      ended: (greeting) => this.ended.push(greeting),
      greeter: () => ({
        ...{ side: this.#side(), verify, log: silent },
        admit: async (claim) => await admit(claim, { sheets: this.mesh.sheets, view: this.view, verify, clock }),
        learn: (genesis, shown) => this.#learn(genesis, shown),
      }),
    });
    this.#links = links;
    t.after(() => {
      links.close();
      this.#cluster?.mesh.close();
    });
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
    t.after(() => datagrams.close());
    return this;
  }

  get address(): string {
    return `127.0.0.1:${this.#links?.port}`;
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
    const facts = { created: '2026-11-20T18:00:00.000Z', nonce: '0'.repeat(32), dataPort: 4789, underlay: 4 } as const;
    const genesis = found(facts, this.host.signer);
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

  dial(address: string): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#links?.dial(address, undefined, {
        failed: resolve,
        opened: (link) => {
          this.mesh.accepted(link);
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
    if (this.#cluster === undefined) this.#begin(genesis, shown);
  }

  #begin(genesis: Genesis, shown: readonly unknown[]): void {
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
        targets: [],
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
