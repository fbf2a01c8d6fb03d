import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostView } from '../../dataplane/dataplane.ts';
import { Refusal } from '../../lib/errors.ts';
import { chooseUnderlay } from './advertise.ts';

const view: HostView = {
  bootId: 'boot',
  interfaces: [
    { name: 'lo', mtu: 65536, up: true, addresses: ['127.0.0.1/8', '::1/128'] },
    { name: 'eth0', mtu: 1500, up: true, addresses: ['192.168.205.10/24', 'fd00:205::10/64', 'fe80::1/64'] },
    { name: 'docker0', mtu: 1500, up: true, addresses: ['172.17.0.1/16'] },
    { name: 'skein_gwbridge', mtu: 1500, up: true, addresses: ['172.18.0.1/16'] },
    { name: 'skein-3d430f333', mtu: 1450, up: true, addresses: ['10.0.0.5/24'] },
  ],
  pinned: new Map(),
  closed: [],
  hops: [],
  routes: [
    { prefix: '192.168.205.0/24', interface: 'eth0' },
    { prefix: '10.20.0.0/16', interface: 'eth0' },
    { prefix: '172.18.0.0/16', interface: 'skein_gwbridge' },
    { prefix: '10.0.0.0/24', interface: 'skein-3d430f333' },
  ],
};
const two: HostView = {
  ...view,
  interfaces: [...view.interfaces, { name: 'eth1', mtu: 9000, up: true, addresses: ['10.1.0.1/24'] }],
};

test('without a word the one address that others could reach is taken, bridges of engines aside', () => {
  const { advertise, data, mtu, family } = chooseUnderlay(view, {});
  assert.deepEqual(
    { advertise, data, mtu, family },
    { advertise: '192.168.205.10:2376', data: '192.168.205.10', mtu: 1500, family: 4 },
  );
});

test('an interface or an address, with or without a port, says where others reach this host', () => {
  assert.equal(chooseUnderlay(two, { advertise: 'eth1:4000' }).advertise, '10.1.0.1:4000');
  assert.equal(chooseUnderlay(two, { advertise: 'eth1' }).mtu, 9000);
  assert.equal(chooseUnderlay(two, { advertise: '192.168.205.10:1' }).advertise, '192.168.205.10:1');
  assert.equal(chooseUnderlay(two, { advertise: '[fd00:205::10]:2376' }).advertise, '[fd00:205::10]:2376');
  assert.equal(chooseUnderlay(two, { advertise: '[FD00:205:0::10]:1' }).advertise, '[fd00:205::10]:1');
  assert.equal(chooseUnderlay(two, { advertise: 'fd00:205::10' }).data, 'fd00:205::10');
  assert.equal(chooseUnderlay(two, { advertise: 'eth0', family: 6 }).data, 'fd00:205::10');
});

test('the data address may be another than the advertised one', () => {
  const { advertise, data, mtu } = chooseUnderlay(two, { advertise: 'eth0', data: '10.1.0.1' });
  assert.deepEqual({ advertise, data, mtu }, { advertise: '192.168.205.10:2376', data: '10.1.0.1', mtu: 9000 });
});

test('the routes of the host are told, those of our own bridge and the local ones are not', () => {
  const { routes } = chooseUnderlay(view, {});
  assert.deepEqual([...routes].sort(), ['10.20.0.0/16', '172.17.0.0/16', '192.168.205.0/24', 'fd00:205::/64']);
});

test('what does not fit this host is refused with what it has', () => {
  const table: [HostView, Parameters<typeof chooseUnderlay>[1], RegExp][] = [
    [two, {}, /several addresses \(192\.168\.205\.10, fd00:205::10, 10\.1\.0\.1\)/],
    [view, { advertise: 'eth7' }, /no such interface \(eth0: 192\.168\.205\.10/],
    [view, { advertise: '192.168.205.99:2376' }, /belongs to no interface/],
    [view, { data: '127.0.0.1' }, /data address 127\.0\.0\.1 cannot be reached by other hosts/],
    [view, { data: '192.168.205.99' }, /data address 192\.168\.205\.99 belongs to no interface/],
    [view, { advertise: 'eth0:99999' }, /cannot advertise/],
    [view, { advertise: 'a:b:c' }, /cannot advertise/],
    [{ ...view, interfaces: view.interfaces.slice(0, 1) }, {}, /no address that others could reach/],
  ];
  for (const [on, wishes, reason] of table) {
    assert.throws(
      () => chooseUnderlay(on, wishes),
      (error) => error instanceof Refusal && reason.test(error.message),
      JSON.stringify(wishes),
    );
  }
});
