import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Askers } from './askers.ts';
import type { Asker } from './dns.ts';
import { Names } from './names.ts';

function asker(id: string, places: Asker['places'], networks = ['n']): Asker {
  return { kind: 'asker', id, places, networks, resolvers: 'host' };
}

test('who asks is known by network and address, however the address is written', () => {
  const askers = new Askers(new Names());
  askers.put(
    asker('a', [
      { network: 'n', address: '10.0.0.2' },
      { network: 'n', address: 'FD00:0::2' },
    ]),
  );
  askers.put(asker('b', [{ network: 'm', address: '10.0.0.2' }]));
  const found = (network: string, address: string) => askers.find(network, address)?.id;
  assert.deepEqual([found('n', '10.0.0.2'), found('n', 'fd00::2'), found('m', '10.0.0.2')], ['a', 'a', 'b']);
  assert.deepEqual([found('n', '10.0.0.3'), found('x', '10.0.0.2')], [undefined, undefined]);
});

test('an address that went to another stays the other’s when the first goes', () => {
  const askers = new Askers(new Names());
  const place = { network: 'n', address: '10.0.0.2' };
  askers.put(asker('a', [place]));
  askers.put(asker('b', [place]));
  askers.remove('a');
  askers.remove('a');
  assert.equal(askers.find('n', '10.0.0.2')?.id, 'b');
  askers.put(asker('b', [{ network: 'n', address: '10.0.0.9' }]));
  assert.deepEqual([askers.find('n', '10.0.0.2'), askers.find('n', '10.0.0.9')?.id], [undefined, 'b']);
});

test('the host and its neighbours have a view of a place, and whoever else asks there has none', () => {
  const askers = new Askers(new Names(), { has: (address) => address !== '10.0.0.4' });
  askers.put(asker('all', [{ network: 'n' }]));
  askers.put(asker('a', [{ network: 'n', address: '10.0.0.2' }]));
  assert.deepEqual(
    ['10.0.0.2', '10.0.0.3', '10.0.0.4'].map((address) => askers.find('n', address)?.id),
    ['a', 'all', undefined],
  );
  askers.remove('all');
  assert.equal(askers.find('n', '10.0.0.3'), undefined);
});

test('a view sees what its networks get and lose later', () => {
  const names = new Names();
  const askers = new Askers(names);
  askers.put(asker('a', [{ network: 'n', address: '10.0.0.2' }], ['n', 'm']));
  const zones = () =>
    askers.find('n', '10.0.0.2')?.zones.map((zone) => `${zone.name}: ${[...zone.byName.keys()].join()}`);
  names.put({ id: '1', network: 'm', names: ['x'], addresses: [] });
  names.putNetwork({ id: 'm', name: 'other', subnets: [] });
  assert.deepEqual(zones(), ['undefined: ', '\x05other: \x01x']);
  names.remove('1');
  names.removeNetwork('m');
  names.putNetwork({ id: 'm', name: 'again', subnets: [] });
  assert.deepEqual(zones(), ['undefined: ', '\x05again: ']);
});
