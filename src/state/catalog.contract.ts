import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { networkRecord, reading, type StateClient, type StateHarness, type StateKind } from './records.contract.ts';

export function catalogContract({ name, start }: StateKind): void {
  describe(`the catalog in ${name}`, () => {
    let harness: StateHarness;
    let one: StateClient;
    let two: StateClient;
    before(async () => {
      harness = await start();
      [one, two] = [await harness.join('one'), await harness.join('two')];
    });
    after(() => harness?.close());

    test('what one host adds all read, whole', async () => {
      const network = { ...networkRecord('whole'), labels: { a: 'b' }, fromLater: { x: [1] } };
      await one.catalog.add(network);
      assert.deepEqual(await two.catalog.get(network.id), network);
      await harness.spread();
      assert.ok((await two.catalog.list()).some(({ id }) => id === network.id));
    });

    test('an id is added once', async () => {
      await one.catalog.add(networkRecord('once'));
      await assert.rejects(two.catalog.add(networkRecord('once')), { name: 'Refusal', kind: 'conflict' });
    });

    test('an update keeps fields that it does not know, and returns the record as it is afterwards', async () => {
      const network = { ...networkRecord('unknown'), fromLater: [1, { two: 2 }] };
      await one.catalog.add(network);
      const after = await two.catalog.update(network.id, (now) => ({ ...now, mtu: 1400 }));
      assert.deepEqual(after, { ...network, mtu: 1400 });
      assert.deepEqual(await one.catalog.get(network.id), after);
    });

    test('updates by many at once are each made', async () => {
      const network = networkRecord('raced');
      await one.catalog.add(network);
      const updates = Array.from({ length: 30 }, (_, i) =>
        (i % 2 ? one : two).catalog.update(network.id, (now) => ({
          ...now,
          labels: { ...now.labels, [`l${i}`]: 'x' },
        })),
      );
      await Promise.all(updates);
      assert.equal(Object.keys((await one.catalog.get(network.id))?.labels ?? {}).length, 30);
    });

    test('an update that throws leaves the record, one that returns undefined removes it, and none is made of what is not there', async () => {
      const network = networkRecord('thrown');
      await one.catalog.add(network);
      const thrown = one.catalog.update(network.id, () => {
        throw new RangeError('no');
      });
      await assert.rejects(thrown, { name: 'RangeError', message: 'no' });
      assert.deepEqual(await one.catalog.get(network.id), network);
      assert.equal(await two.catalog.update(network.id, () => undefined), undefined);
      assert.equal(await one.catalog.get(network.id), undefined);
      assert.equal(await one.catalog.update(network.id, () => assert.fail('called')), undefined);
    });

    test('a watch begins with a snapshot and follows changes of other hosts', async () => {
      const [first, second] = [networkRecord('watched'), networkRecord('watched-too')];
      await one.catalog.add(first);
      await harness.spread();
      const watch = reading((signal) => two.catalog.watch({ signal }));
      const begin = await watch.next();
      assert.ok(begin.kind === 'snapshot' && begin.networks.some(({ id }) => id === first.id));
      await one.catalog.add(second);
      assert.deepEqual(await watch.next(), { kind: 'put', network: second });
      await one.catalog.update(first.id, (now) => ({
        ...now,
        removing: { host: one.host, since: now.created, mark: 'm' },
      }));
      const marked = await watch.next();
      assert.ok(marked.kind === 'put' && marked.network.removing?.host === one.host);
      await one.catalog.update(first.id, () => undefined);
      assert.deepEqual(await watch.next(), { kind: 'delete', id: first.id });
      await watch.stop();
    });

    test('a record that cannot be read is passed over, told, and forgotten when it is put right', async () => {
      const network = networkRecord('spoilt');
      await one.catalog.add(network);
      await harness.spread();
      const watch = reading((signal) => two.catalog.watch({ signal }));
      await watch.next();
      const wrong = [
        '{"id":',
        'null',
        '[]',
        `"${'x'.repeat(300_000)}"`,
        JSON.stringify({ ...network, vni: 1e9 }),
        JSON.stringify({ ...network, id: 'f'.repeat(64) }),
      ];
      for (const text of wrong) {
        await harness.spoil(network.id, text);
        assert.deepEqual(await watch.next(), { kind: 'delete', id: network.id });
        assert.ok(two.skipped().some(({ key }) => key.endsWith(network.id)));
        await harness.spread();
        assert.ok(!(await one.catalog.list()).some(({ id }) => id === network.id));
        await assert.rejects(
          one.catalog.update(network.id, (now) => now),
          { kind: 'conflict' },
        );
      }
      await harness.spoil(network.id, JSON.stringify(network));
      assert.deepEqual(await watch.next(), { kind: 'put', network });
      assert.ok(!two.skipped().some(({ key }) => key.endsWith(network.id)));
      await watch.stop();
    });

    test('a record that is too long is refused before it is written', async () => {
      const network = { ...networkRecord('long'), fromLater: 'x'.repeat(300_000) };
      await assert.rejects(one.catalog.add(network), { name: 'Refusal', kind: 'invalid' });
    });
  });
}
