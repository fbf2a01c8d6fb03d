import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { heapUsed } from '../lib/heap.testing.ts';
import { findAddress, findName, type Holders, isList, Names, packAddress } from './names.ts';
import { toWireName } from './wire-name.ts';

function idsOf(holders: Holders | 'nobody' | undefined): readonly string[] {
  if (holders === undefined || holders === 'nobody') return [];
  return (isList(holders) ? holders : [holders]).map(({ id }) => id).sort();
}

const endpoint = fc.record({
  id: fc.constantFrom('1', '2', '3', '4'),
  network: fc.constantFrom('n', 'm'),
  names: fc.uniqueArray(fc.constantFrom('a', 'b', 'C', 'a.b', 'no name'), { maxLength: 3 }),
  addresses: fc.uniqueArray(fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1'), { maxLength: 2 }),
});
const step = fc.oneof(
  endpoint.map((value) => ({ kind: 'put' as const, value })),
  fc.constantFrom('1', '2', '3', '4').map((id) => ({ kind: 'remove' as const, id })),
);

test('after any changes the same is found as in a list of all', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const names = new Names();
      const zones = new Map(['n', 'm'].map((id) => [id, names.see(id)]));
      const all = new Map<string, typeof endpoint extends fc.Arbitrary<infer E> ? E : never>();
      for (const one of steps) {
        if (one.kind === 'put') {
          names.put(one.value);
          all.set(one.value.id, one.value);
        } else {
          names.remove(one.id);
          all.delete(one.id);
        }
      }
      assert.equal(names.size, all.size);
      for (const [network, zone] of zones) {
        const here = [...all.values()].filter((value) => value.network === network);
        for (const name of ['a', 'b', 'c', 'a.b']) {
          const expected = here
            .filter((value) => value.names.some((own) => own.toLowerCase() === name))
            .map(({ id }) => id);
          assert.deepEqual(idsOf(findName([zone], toWireName(name) ?? '')), expected.sort());
        }
        for (const address of ['10.0.0.1', '10.0.0.2', 'fd00::1']) {
          const expected = here.filter((value) => value.addresses.some((own) => own === address)).map(({ id }) => id);
          assert.deepEqual(idsOf(findAddress([zone], packAddress(address))), expected.sort());
        }
      }
      for (const id of all.keys()) names.remove(id);
      for (const zone of zones.values()) {
        assert.deepEqual([zone.byName.size, zone.byAddress.size, zone.parents.size], [0, 0, 0], 'nothing is left');
        names.release(zone);
      }
    }),
  );
});

test('a network that is renamed answers by its new name, and one that goes by none', () => {
  const names = new Names();
  names.put({ id: '1', network: 'n', names: ['a'], addresses: ['10.0.0.1'] });
  const zone = names.see('n');
  const found = (name: string) => idsOf(findName([zone], toWireName(name) ?? ''));
  assert.deepEqual(found('a.demo'), [], 'it is not known yet');
  names.putNetwork({ id: 'n', name: 'demo', subnets: ['10.0.0.0/24'] });
  assert.deepEqual([found('a.demo'), findAddress([zone], packAddress('10.0.0.9'))], [['1'], 'nobody']);
  names.putNetwork({ id: 'n', name: 'Other', subnets: [] });
  assert.deepEqual([found('a.demo'), found('a.other')], [[], ['1']]);
  names.removeNetwork('n');
  names.removeNetwork('n');
  assert.deepEqual([found('a.other'), found('a')], [[], ['1']]);
});

test('a name of the whole cluster is found after every name.network, where only it is live before one that is lost', () => {
  const names = new Names();
  names.putNetwork({ id: 'n', name: 'demo', subnets: [] });
  names.put({ id: 'hand', network: 'cluster', names: ['web.demo', 'web'], addresses: ['192.0.2.1'] });
  const zones = [names.see('cluster'), names.see('n')];
  const found = (name: string) => idsOf(findName(zones, toWireName(name) ?? ''));
  assert.deepEqual([found('web.demo'), found('web')], [['hand'], ['hand']]);
  names.put({ id: '1', network: 'n', names: ['web'], addresses: ['10.0.0.1'] });
  assert.deepEqual([found('web.demo'), found('web')], [['1'], ['1']]);
  names.put({ id: '1', network: 'n', names: ['web'], addresses: ['10.0.0.1'], lost: true });
  assert.deepEqual([found('web.demo'), found('web')], [['hand'], ['hand']]);
  names.remove('hand');
  assert.deepEqual([found('web.demo'), found('web')], [['1'], ['1']]);
});

test('what is no address is passed over, and the rest of its network entered', () => {
  const names = new Names();
  names.put({ id: '1', network: 'n', names: ['a'], addresses: ['10.0.0.256', 'fe80::1%eth0', '', '10.0.0.1'] });
  assert.deepEqual(idsOf(findAddress([names.see('n')], packAddress('10.0.0.1'))), ['1']);
  assert.deepEqual(isList(findName([names.see('n')], toWireName('a') ?? '') ?? []), false);
});

test('a name takes at most 1000 bytes', (t) => {
  const count = 10_000;
  const before = heapUsed();
  const names = filled(count);
  const each = Math.round((heapUsed() - before) / count);
  t.diagnostic(`${each} bytes a name, with its endpoint's ids and address`);
  assert.equal(names.size, count);
  assert.ok(each <= 1000, `${each} bytes`);
});

/** With what came in messages, of which nothing else is left. */
function filled(count: number): Names {
  const names = new Names();
  for (let n = 0; n < count; n++) {
    const id = createHash('sha256').update(String(n)).digest('hex');
    const own = [`container-${n}`, id.slice(0, 12)];
    names.put(structuredClone({ id, network: 'n', names: own, addresses: [`10.0.${n >> 8}.${n & 255}`] }));
  }
  return names;
}
