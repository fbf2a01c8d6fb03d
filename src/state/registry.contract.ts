import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  endpointRecord,
  hexId,
  hostIdOf,
  hostRecord,
  nameRecord,
  reading,
  type StateClient,
  type StateHarness,
  type StateKind,
} from './records.contract.ts';
import type { Registry, RegistryEvent, Scope } from './registry.ts';

export function registryContract({ name, start }: StateKind): void {
  describe(`the registry in ${name}`, () => {
    let harness: StateHarness;
    let one: StateClient;
    before(async () => {
      harness = await start();
      one = await harness.join('one');
    });
    after(() => harness?.close());

    const follow = (registry: Registry, scope: Scope) => reading((signal) => registry.watch(scope, { signal }));
    const endpoints = (network: string): Scope => ({ kind: 'endpoints', network });

    test('what one host publishes others list and see, until it is withdrawn', async () => {
      const two = await harness.join('two');
      const network = hexId('published');
      const endpoint = { ...endpointRecord(one.host, network, 'a'), fromLater: 1 };
      const watch = follow(two.registry, endpoints(network));
      assert.deepEqual(await watch.next(), { kind: 'snapshot', entries: [] });
      await one.registry.publish({ kind: 'endpoint', endpoint });
      const entry = { record: { kind: 'endpoint', endpoint }, lost: false } as const;
      assert.deepEqual(await watch.next(), { kind: 'put', entry });
      assert.deepEqual(await two.registry.list(endpoints(network)), [entry]);
      assert.deepEqual(await two.registry.list(endpoints(hexId('other'))), []);
      await one.registry.publish({ kind: 'endpoint', endpoint: { ...endpoint, aliases: ['b'] } });
      const changed = await watch.next();
      assert.ok(changed.kind === 'put' && aliasesOf(changed).includes('b'));
      await one.registry.withdraw(endpoints(network), endpoint.id);
      await one.registry.withdraw(endpoints(network), endpoint.id);
      assert.deepEqual(await watch.next(), { kind: 'delete', id: endpoint.id });
      await watch.stop();
      await two.close();
    });

    test('a host that leaves is marked lost with its endpoints in every watch, and comes back', async () => {
      await one.settled();
      const two = await harness.join('two');
      const network = hexId('lost');
      await two.registry.publish({ kind: 'host', host: hostRecord('two') });
      await two.registry.publish({ kind: 'endpoint', endpoint: endpointRecord(two.host, network, 'theirs') });
      await one.registry.publish({ kind: 'endpoint', endpoint: endpointRecord(one.host, network, 'mine') });
      const hosts = follow(one.registry, { kind: 'hosts' });
      const places = follow(one.registry, endpoints(network));
      await hosts.next();
      assert.deepEqual(lostIn(await places.next()), []);
      await two.close();
      assert.equal(lostHost(await hosts.until((event) => event.kind === 'put')), two.host);
      assert.deepEqual(lostIn(await places.until((event) => event.kind === 'put')), ['theirs']);
      const listed = await one.registry.list(endpoints(network));
      assert.deepEqual(lostIn({ kind: 'snapshot', entries: listed }), ['theirs']);
      const back = await harness.join('two');
      assert.equal(lostHost(await hosts.until((event) => event.kind === 'put')), undefined);
      assert.deepEqual(lostIn(await places.until((event) => event.kind === 'put')), []);
      await Promise.all([hosts.stop(), places.stop()]);
      await back.close();
    });

    test('a host that has just come judges nobody lost before its own session is fresh for one full time', async () => {
      const gone = await harness.join('gone');
      await gone.registry.publish({ kind: 'host', host: hostRecord('gone') });
      await gone.close();
      const fresh = await harness.join('fresh');
      const watch = follow(fresh.registry, { kind: 'hosts' });
      const begin = await watch.next();
      assert.equal(begin.kind === 'snapshot' && begin.entries.some(({ lost }) => lost), false);
      const told = watch.until((event) => lostHost(event) === hostIdOf('gone'));
      await fresh.settled();
      await told;
      await watch.stop();
      await fresh.close();
    });

    test('a record that others could not use is passed over and told', async () => {
      const wrong = [
        { ...hostRecord('wrong'), data: '127.0.0.1' },
        { ...hostRecord('wrong'), data: 'fd00::1' },
        { ...hostRecord('wrong'), routes: ['FD00::/64'] },
      ];
      const theirs = await harness.join('wrong');
      for (const host of wrong) {
        await theirs.registry.publish({ kind: 'host', host });
        await harness.spread();
        const ids = (await one.registry.list({ kind: 'hosts' })).flatMap(({ record }) =>
          record.kind === 'host' ? [record.host.id] : [],
        );
        assert.ok(!ids.includes(host.id), JSON.stringify(host));
        assert.ok(one.skipped().some(({ key }) => key.endsWith(host.id)));
      }
      const network = hexId('wrong');
      const endpoint = { ...endpointRecord(one.host, network, 'wrong'), addresses: ['FD00:0::1/64'] };
      await one.registry.publish({ kind: 'endpoint', endpoint });
      assert.deepEqual(await one.registry.list({ kind: 'endpoints', network }), []);
      assert.ok(one.skipped().some(({ reason }) => reason.endsWith('addresses.0 is not how fd00::1/64 is written')));
      await theirs.registry.withdraw({ kind: 'hosts' }, theirs.host);
      await theirs.close();
      await one.registry.withdraw({ kind: 'endpoints', network }, endpoint.id);
    });

    test('a name given by hand is seen by every host, marked lost with its own, and is gone when it is taken back', async () => {
      const two = await harness.join('three');
      await one.settled();
      const record = { ...nameRecord(two.host, 'printer'), fromLater: 1 };
      const watch = follow(one.registry, { kind: 'records' });
      await watch.next();
      await two.registry.publish({ kind: 'name', record });
      const entry = { record: { kind: 'name', record }, lost: false } as const;
      assert.deepEqual(await watch.next(), { kind: 'put', entry });
      assert.deepEqual(await one.registry.list({ kind: 'records' }), [entry]);
      await two.close();
      assert.deepEqual(await watch.next(), { kind: 'put', entry: { ...entry, lost: true } });
      const back = await harness.join('three');
      await back.registry.withdraw({ kind: 'records' }, record.id);
      assert.deepEqual(await watch.until(({ kind }) => kind === 'delete'), { kind: 'delete', id: record.id });
      await watch.stop();
      await back.close();
    });

    test('a watch ends when it is aborted', async () => {
      const abort = new AbortController();
      const events = one.registry.watch({ kind: 'hosts' }, { signal: abort.signal })[Symbol.asyncIterator]();
      await events.next();
      const waiting = events.next();
      abort.abort();
      assert.equal((await waiting).done, true);
    });
  });
}

function aliasesOf(event: RegistryEvent): readonly string[] {
  return event.kind === 'put' && event.entry.record.kind === 'endpoint' ? event.entry.record.endpoint.aliases : [];
}

function lostHost(event: RegistryEvent): string | undefined {
  if (event.kind !== 'put' || event.entry.record.kind !== 'host' || !event.entry.lost) return undefined;
  return event.entry.record.host.id;
}

/** Names of the lost endpoints. */
function lostIn(event: RegistryEvent): string[] {
  const entries = event.kind === 'snapshot' ? event.entries : event.kind === 'put' ? [event.entry] : [];
  return entries.flatMap(({ record, lost }) => (lost && record.kind === 'endpoint' ? [record.endpoint.name] : []));
}
