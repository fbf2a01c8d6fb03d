import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findNeeded } from '../hosts/needed.ts';
import { wayInto } from './clashes.ts';

const view = {
  interfaces: [
    { name: 'eth0', mtu: 1500, up: true, addresses: ['192.168.1.5/24', 'fd99::5/64', 'fe80::5/64'] },
    { name: 'skein-aaaaaaaaa', mtu: 1450, up: true, addresses: ['10.0.0.9/24'] },
  ],
  routes: [
    { prefix: '10.0.0.0/8', interface: 'tun0' },
    { prefix: '10.7.0.0/16', interface: 'tun0' },
    { prefix: '192.168.1.0/24', interface: 'eth0' },
    { prefix: '10.0.0.0/24', interface: 'skein-aaaaaaaaa' },
    { prefix: 'fd01:2::/32', interface: 'eth0' },
  ],
  closed: [
    { prefix: '172.27.8.0/24', type: 'blackhole' },
    { prefix: 'fd95::/48', type: 'unreachable' },
  ],
  hops: [
    { address: '172.30.0.1', interface: 'eth0' },
    { address: '10.0.0.7', interface: 'skein-aaaaaaaaa' },
    { address: 'fe80::1', interface: 'eth0' },
  ],
};
const needed = await findNeeded({
  hosts: { list: () => [{ host: { name: 'h2', data: '172.20.3.4', advertise: '172.26.3.4:2376' } }] },
  members: ['172.22.0.2:2379', '[fd97::2]:2379', 'etcd1:2379', 'nowhere:2379'],
  resolvers: async () => ['172.24.0.53', 'fd96::53', 'fe80::53%eth0'],
  resolve: async (name) => {
    if (name === 'nowhere') throw new Error('there is none');
    return ['172.23.0.2'];
  },
});

const cases: Readonly<Record<string, string | undefined>> = {
  '10.1.0.0/24': undefined,
  '10.7.0.0/16': '10.7.0.0/16 by tun0',
  '10.7.1.0/24': undefined,
  '10.6.0.0/15': '10.7.0.0/16 by tun0',
  '192.168.1.128/25': '192.168.1.5/24 on eth0',
  '192.168.0.0/16': '192.168.1.5/24 on eth0',
  '172.20.0.0/16': 'host h2 at 172.20.3.4',
  '172.21.0.0/16': undefined,
  '172.26.0.0/16': 'host h2 at 172.26.3.4',
  '172.22.0.0/29': 'store at 172.22.0.2',
  'fd97::/64': 'store at fd97::2',
  '172.23.0.0/24': 'store at 172.23.0.2',
  '172.24.0.0/24': 'resolver at 172.24.0.53',
  'fd96::/64': 'resolver at fd96::53',
  '172.27.0.0/16': 'blackhole 172.27.8.0/24',
  '172.27.8.0/25': undefined,
  'fd95::/48': 'unreachable fd95::/48',
  '172.30.0.0/24': 'next hop 172.30.0.1 by eth0',
  // By the interface that it is to be reached by.
  '10.0.0.0/24': undefined,
  'fd99::/64': 'fd99::5/64 on eth0',
  'fd01::/16': 'fd01:2::/32 by eth0',
  'fd98::/64': undefined,
};

for (const [subnet, way] of Object.entries(cases)) {
  test(`a host reaches ${subnet} by ${way ?? 'nothing that is in the way'}`, () => {
    assert.equal(wayInto(subnet, { view, own: 'skein-aaaaaaaaa', needed }), way);
  });
}
