import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type OpenedRecords, openRecords } from '../src/controllers/records/open.ts';
import type { AddRecord } from '../src/controllers/records/records.ts';
import { Refusal } from '../src/lib/errors.ts';
import { silent } from '../src/lib/log.ts';
import { Scope } from '../src/lib/scope.ts';
import type { TestEtcd } from '../src/state/kv/harness.contract.ts';
import { eventually, openPair, request, type TestHost } from './piece-host.ts';

/** What a host answers with. */
class Answers {
  readonly #known = new Map<string, string>();

  record({ id, name, addresses }: { id: string; name: string; addresses: readonly string[] }, lost: boolean): void {
    this.#known.set(id, `${name} ${addresses.join(' ')}${lost ? ' lost' : ''}`);
  }

  recordGone(id: string): void {
    this.#known.delete(id);
  }

  async told(): Promise<void> {}

  get all(): readonly string[] {
    return [...this.#known.values()].sort();
  }
}

interface Life {
  readonly records: OpenedRecords;
  readonly answers: Answers;
}

describe('names given by hand, on two hosts of one etcd', () => {
  const scope = new Scope();
  let etcd: TestEtcd;
  let h1: TestHost;
  let h2: TestHost;
  let one: Life;
  let two: Life;

  /** Ids of networks that cannot be found any more, though they are there. */
  const unfound = new Set<string>();
  async function live({ state, journal, hosts, networks }: TestHost): Promise<Life> {
    const answers = new Answers();
    const { registry } = state;
    const find = (text: string) => {
      const network = networks.find(text);
      if (!unfound.has(network.id)) return network;
      throw new Refusal('not-found', `network ${text} not found`);
    };
    return {
      answers,
      records: await openRecords(
        { registry, journal, hosts, networks: { ...networks, find }, answers, log: silent, now: Date.now },
        { domains: ['skein.local.', 'weave.local'], wait: 1_000 },
      ),
    };
  }

  const add = (name: string, addresses: readonly string[], more: Partial<AddRecord> = {}) =>
    one.records.add({ name, addresses, ...more });
  const remove = (name: string, addresses: readonly string[] = []) => one.records.remove({ name, addresses });
  const inStore = async () =>
    (await h2.state.registry.list({ kind: 'records' })).flatMap(({ record }) =>
      record.kind === 'name' ? [record.record.name] : [],
    );
  const refusal = (kind: Refusal['kind'], message: RegExp) => (error: unknown) =>
    error instanceof Refusal && error.kind === kind && message.test(error.message);

  before(async () => {
    ({ etcd, h1, h2 } = await openPair(scope));
    one = await live(h1);
    scope.defer(() => one.records.close());
    two = await live(h2);
    scope.defer(() => two.records.close());
  });

  after(() => scope.close());

  it('answers on every host, with all addresses that a name was given', async () => {
    await add('DB.', ['192.0.2.1']);
    assert.deepEqual(one.answers.all, ['db 192.0.2.1']);
    await add('db.skein.local.', ['fd00::1', '192.0.2.1']);
    await add('printer.office', ['192.0.2.2']);
    const all = ['db 192.0.2.1 fd00::1', 'printer.office 192.0.2.2'];
    assert.deepEqual(one.answers.all, all);
    await eventually(() => two.answers.all.join() === all.join());
    assert.deepEqual(
      two.records.list().map(({ record }) => record.name),
      ['db', 'printer.office'],
    );
  });

  it('answers with those of others from its start on', async () => {
    await two.records.close();
    two = await live(h2);
    assert.deepEqual(two.answers.all, ['db 192.0.2.1 fd00::1', 'printer.office 192.0.2.2']);
  });

  it('takes addresses back one by one, and the name with the last', async () => {
    await remove('db', ['192.0.2.1']);
    assert.deepEqual(one.answers.all, ['db fd00::1', 'printer.office 192.0.2.2']);
    await assert.rejects(remove('db', ['192.0.2.1']), refusal('not-found', /no record db with 192\.0\.2\.1 was added/));
    await remove('db', ['fd00::1']);
    assert.deepEqual(one.answers.all, ['printer.office 192.0.2.2']);
    assert.deepEqual(await inStore(), ['printer.office']);
    await eventually(() => two.answers.all.length === 1);
  });

  it('keeps a name of one network beside that of all, and gives it back where it was given', async () => {
    const demo = await h1.networks.create(request('demo'));
    await add('web', ['192.0.2.3']);
    const { network } = await add('web', ['10.0.0.9'], {
      network: 'demo',
      ports: [{ name: 'http', port: 80, protocol: 'tcp' }],
    });
    assert.equal(network, demo.id);
    await eventually(() => two.answers.all.length === 3);
    await assert.rejects(
      two.records.remove({ name: 'web', addresses: [] }),
      refusal('conflict', /^the record web was added on host h1: remove it there$/),
    );
    await remove('web');
    assert.deepEqual(one.answers.all, ['printer.office 192.0.2.2', 'web 10.0.0.9'], 'that of the network stays');
    await assert.rejects(remove('web'), refusal('conflict', /^the record web was added for network demo: give that /));
    assert.deepEqual(one.answers.all, ['printer.office 192.0.2.2', 'web 10.0.0.9']);
    await add('web', ['192.0.2.3']);
    await one.records.remove({ name: 'web', addresses: [], network: 'demo' });
    assert.deepEqual(one.answers.all, ['printer.office 192.0.2.2', 'web 192.0.2.3']);
    await assert.rejects(
      one.records.remove({ name: 'web', addresses: [], network: 'demo' }),
      refusal('conflict', /^the record web was added for the whole cluster: /),
    );
    await add('web', ['10.0.0.9'], { network: 'demo' });
    const gone = await one.records.remove({ name: 'web', addresses: [], everywhere: true });
    assert.deepEqual(new Set(gone.map((record) => record.network)), new Set([demo.id, undefined]));
    assert.deepEqual(one.answers.all, ['printer.office 192.0.2.2']);
  });

  it('keeps the ports of a name beside those that it is given, one for each name and protocol', async () => {
    const http = { name: 'http', port: 80, protocol: 'tcp' } as const;
    const dns = { name: 'dns', port: 53, protocol: 'udp' } as const;
    await add('svc', ['192.0.2.5'], { ports: [http, dns] });
    assert.deepEqual((await add('svc', ['192.0.2.6'])).ports, [http, dns]);
    const more = [
      { ...http, name: 'HTTP', port: 8080 },
      { ...http, protocol: 'udp' },
    ] as const;
    assert.deepEqual((await add('svc', ['192.0.2.6'], { ports: more })).ports, [more[0], dns, more[1]]);
    await assert.rejects(
      add('svc', ['192.0.2.6'], { ports: [http, { ...http, port: 81 }] }),
      refusal('invalid', /^the port http\/tcp is given twice/),
    );
    await remove('svc');
  });

  it('refuses what no message can have, and leaves nothing of it', async () => {
    const wrong: [string, string[]][] = [
      ['', ['192.0.2.1']],
      ['a..b', ['192.0.2.1']],
      ['a b', ['192.0.2.1']],
      ['x'.repeat(64), ['192.0.2.1']],
      ['x', []],
      ['x', ['192.0.2']],
      ['x', ['127.0.0.1']],
      ['x', Array.from({ length: 65 }, (_, i) => `192.0.2.${i}`)],
    ];
    for (const [name, addresses] of wrong)
      await assert.rejects(add(name, addresses), refusal('invalid', /^cannot give the name /));
    await assert.rejects(add('x', ['192.0.2.1'], { network: 'nope' }), refusal('not-found', /nope/));
    assert.deepEqual(await inStore(), ['printer.office']);
  });

  it('refuses a name that others are found by, or that nobody asks for, and says what to give instead', async () => {
    await h1.networks.create(request('Team.net'));
    for (const [name, why] of [
      ['web.demo', /names that end so are those of network demo: give web with --network demo$/],
      ['x.demo.skein.local', /give x with --network demo$/],
      ['a.b.team.NET.', /give a\.b with --network Team\.net$/],
      ['2.0.20.10.in-addr.arpa', /names in in-addr\.arpa are those of addresses/],
      ['ip6.arpa', /names in ip6\.arpa are/],
      ['skein.local', /the domain of names is skein\.local: give one in it$/],
      ['LOCAL', /the domain of names is skein\.local/],
      ['192.0.2.1', /it is an address/],
      ['-x', /must begin with a letter or digit/],
      ['_http._tcp.x', /services are told by --port$/],
      ['bücher', /; resolvers ask for xn--bcher-kva$/],
    ] as const) {
      await assert.rejects(add(name, ['192.0.2.1']), refusal('invalid', why), name);
      await assert.rejects(add(name, ['192.0.2.1'], { network: 'demo' }), refusal('invalid', why), name);
    }
    assert.deepEqual(await inStore(), ['printer.office']);
  });

  it('is put back where the store lost it, and taken out where only the store has it', async () => {
    const [{ record } = assert.fail()] = one.records.list();
    await h2.state.registry.withdraw({ kind: 'records' }, record.id);
    await eventually(() => two.answers.all.length === 0);
    const stray = { ...record, id: 'f'.repeat(64), name: 'stray' };
    await h2.state.registry.publish({ kind: 'name', record: stray });
    await eventually(async () => (await inStore()).join() === 'printer.office');
    await eventually(() => two.answers.all.join() === 'printer.office 192.0.2.2');
    assert.deepEqual(one.answers.all, ['printer.office 192.0.2.2']);
  });

  it('goes with its network at once, or can be taken back by what is left of that', async () => {
    await h1.networks.create(request('brief'));
    await add('guest', ['10.0.0.9'], { network: 'brief' });
    await eventually(() => two.answers.all.length === 2);
    await h2.networks.remove('brief');
    await eventually(() => two.answers.all.length === 1 && one.answers.all.length === 1);
    assert.deepEqual(await inStore(), ['printer.office']);
    const { id } = await h1.networks.create(request('brief'));
    await add('guest', ['10.0.0.9'], { network: 'brief' });
    unfound.add(id);
    const removeAt = (network: string) => one.records.remove({ name: 'guest', addresses: [], network });
    await assert.rejects(removeAt('brief'), refusal('not-found', /brief/));
    await removeAt(id.slice(0, 12));
    await h1.networks.remove('brief');
    assert.deepEqual(one.answers.all, ['printer.office 192.0.2.2']);
    assert.deepEqual(await inStore(), ['printer.office']);
  });

  it('is refused while the store is away; what is taken back then goes when it is there again, also by the next life', async () => {
    await add('old', ['192.0.2.7']);
    await eventually(() => two.answers.all.length === 2);
    await etcd.stop();
    await assert.rejects(add('new', ['192.0.2.8']), refusal('unavailable', /./));
    await remove('old');
    assert.deepEqual(one.answers.all, ['printer.office 192.0.2.2']);
    await one.records.close();
    one = await live(h1);
    assert.deepEqual(one.answers.all, ['printer.office 192.0.2.2'], 'the store is not waited for');
    await etcd.start();
    await eventually(async () => (await inStore()).join() === 'printer.office');
    await eventually(() => two.answers.all.join() === 'printer.office 192.0.2.2');
  });
});
