import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Scope } from '../src/lib/scope.ts';
import { eventually, openPair, request, type TestHost, wish } from './piece-host.ts';

describe('names on two hosts', () => {
  const scope = new Scope();
  let h1: TestHost;
  let h2: TestHost;
  let web: string;
  let other: string;

  before(async () => {
    ({ h1, h2 } = await openPair(scope));
    for (const name of ['demo', 'other']) await h1.networks.create(request(name));
    await h1.networks.create({ ...request('inner'), internal: true });
    await eventually(() => h2.networks.list().length === 3);
  });

  after(() => scope.close());

  /** What a container is told, as `status data data`. */
  async function found(host: TestHost, sandbox: string | undefined, name: string, type = 'A'): Promise<string> {
    const { status, records } = await host.names.lookup({ sandbox, name, type });
    return [status, ...records.map(({ data }) => data).sort()].join(' ');
  }

  it('an endpoint has its names as soon as it is connected, for who shares a network', async () => {
    const [one, two] = [
      await h1.endpoints.openSandbox({ exit: true, connect: [{ ...wish('demo', 'web'), aliases: ['www'] }] }),
      await h1.endpoints.openSandbox({ exit: true, connect: [wish('other', 'lone')] }),
    ];
    [web, other] = [one.id, two.id];
    for (const name of ['web', 'www', 'web.demo', 'web.demo.skein.local', 'WEB.skein.local']) {
      assert.equal(await found(h1, web, name), 'NOERROR 10.0.0.2', name);
    }
    assert.equal(await found(h1, web, '10.0.0.2', 'PTR'), 'NOERROR web.demo.');
    assert.equal(await found(h1, other, 'web.skein.local'), 'NXDOMAIN');
    assert.equal(await found(h1, undefined, 'web.skein.local'), 'NOERROR 10.0.0.2', 'the host sees all that are here');
  });

  it('those of another host come and go with their endpoints', async () => {
    const there = await h2.endpoints.openSandbox({ exit: true, connect: [wish('demo', 'db')] });
    await eventually(async () => (await found(h1, web, 'db')) === 'NOERROR 10.0.0.3');
    assert.equal(await found(h2, there.id, 'web.demo'), 'NOERROR 10.0.0.2', 'what was there before is known at once');
    assert.equal(await found(h2, there.id, 'lone.other.skein.local'), 'NXDOMAIN');
    const listed = h1.names.list().map(({ names, network, addresses, host }) => ({ names, network, addresses, host }));
    const [demo, second] = ['demo', 'other'].map((name) => ({ id: h1.networks.find(name).id, name }));
    assert.deepEqual(listed, [
      { names: ['web', 'www'], network: demo, addresses: ['10.0.0.2'], host: h1.hosts.self.id },
      { names: ['lone'], network: second, addresses: ['10.0.1.2'], host: h1.hosts.self.id },
      { names: ['db'], network: demo, addresses: ['10.0.0.3'], host: h2.hosts.self.id },
    ]);
    await h2.endpoints.closeSandbox(there.id);
    await eventually(async () => (await found(h1, web, 'db.skein.local')) === 'NXDOMAIN');
    assert.equal(h2.names.list().length, 0, 'of a network that a host left it knows nothing');
  });

  it('what comes back with another address is not answered with the old one', async () => {
    await h1.endpoints.disconnect(web, 'demo');
    assert.equal(await found(h1, other, 'web.skein.local'), 'NXDOMAIN');
    await h1.endpoints.connect({ sandbox: web, ...wish('demo', 'web'), ip: '10.0.0.99' });
    assert.equal(await found(h1, web, 'web'), 'NOERROR 10.0.0.99');
    assert.equal(await found(h1, web, '10.0.0.2', 'PTR'), 'NXDOMAIN');
  });

  it('on internal networks alone nobody outside is asked, with another network besides the own resolvers', async () => {
    const { id } = await h1.endpoints.openSandbox({
      exit: false,
      dns: ['255.255.255.255'],
      connect: [wish('inner', 'a')],
    });
    assert.equal(await found(h1, id, 'example.com'), 'NXDOMAIN');
    await h1.endpoints.connect({ sandbox: id, ...wish('demo', 'a') });
    assert.equal(await found(h1, id, 'example.com'), 'SERVFAIL', 'to this address nobody can connect');
    assert.equal(await found(h1, id, 'a.inner'), 'NOERROR 10.0.2.2');
    await h1.endpoints.closeSandbox(id);
    await assert.rejects(found(h1, id, 'a'), /asks nobody here/);
  });

  it('a record made by hand is seen on its network, or by all', async () => {
    const made = { epoch: 1, created: new Date().toISOString() };
    const record = { id: 'r1', host: h2.hosts.self.id, name: 'printer', addresses: ['192.0.2.7'], ...made };
    h1.names.record(record, false);
    assert.equal(await found(h1, other, 'printer'), 'NOERROR 192.0.2.7');
    assert.equal(await found(h1, web, '192.0.2.7', 'PTR'), 'NOERROR printer.');
    h1.names.record({ ...record, network: h1.networks.find('demo').id }, false);
    assert.deepEqual(
      [await found(h1, other, 'printer.skein.local'), await found(h1, web, 'printer.demo')],
      ['NXDOMAIN', 'NOERROR 192.0.2.7'],
    );
    h1.names.record(record, true);
    assert.equal(await found(h1, web, 'printer'), 'NXDOMAIN', 'its host is lost');
    assert.deepEqual(h1.names.list().at(-1)?.lost, true);
    h1.names.recordGone('r1');
    h1.names.recordGone('r1');
    assert.equal(
      h1.names.list().some(({ byHand }) => byHand),
      false,
    );
  });

  it('another life answers with what the one before promised', async () => {
    await h1.die();
    await h1.start();
    assert.equal(await found(h1, web, 'web'), 'NOERROR 10.0.0.99');
    assert.equal(await found(h1, other, 'lone.other'), 'NOERROR 10.0.1.2');
    const { domains, endpoints, staleSince } = await h1.names.status();
    assert.deepEqual([domains, endpoints, staleSince], [['skein.local'], 2, undefined]);
  });
});
