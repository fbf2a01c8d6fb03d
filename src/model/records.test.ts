import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ParseError } from '../lib/errors.ts';
import { parseEndpoint } from './endpoint.ts';
import { parseHost } from './host.ts';
import { parseNetwork } from './network.ts';

const id = 'a'.repeat(64);
const time = '2026-01-01T00:00:00.000Z';

const host = {
  ...{ id: '0123456789abcdef0123456789abcdef', name: 'h1', key: `${'A'.repeat(43)}=`, advertise: '192.0.2.1:2376' },
  ...{ data: '192.0.2.1', mtu: 1500, routes: ['192.0.2.0/24', 'fd00::/64'], version: '0', featureLevel: 1, epoch: 1 },
  ...{ bootId: 'boot', started: time },
};

const subnet = { subnet: '10.0.0.0/24', gateway: '10.0.0.1' };
const network = {
  ...{ id, name: 'demo', created: time, driver: 'overlay', subnets: [subnet], vni: 256, mtu: 1450, ipv6: false },
  ...{ internal: false, attachable: true, options: {}, labels: {}, owner: host.id },
};

const endpoint = {
  ...{ id, network: id, name: 'test1', aliases: [], mac: '02:42:0a:00:00:02', host: host.id, epoch: 1, created: time },
  addresses: ['10.0.0.2/24', 'fd00::2/64'],
  sandbox: { id: '0123456789ab', key: '/run/skein/netns/0123456789ab' },
};

function refused(parse: (json: unknown, place: string) => unknown, json: unknown): string {
  try {
    parse(json, 'k');
  } catch (error) {
    assert.ok(error instanceof ParseError, String(error));
    return error.message;
  }
  return 'not refused';
}

test('a host that others could not send packets to is refused', () => {
  for (const data of ['192.0.2.1', '169.254.0.1', '250.0.0.1', 'fd00::2']) parseHost({ ...host, data }, 'k');
  const cannot = 'k: data is not an address that other hosts can reach';
  for (const data of ['0.0.0.0', '127.0.0.1', '224.0.0.1', '239.1.1.1', '255.255.255.255']) {
    assert.equal(refused(parseHost, { ...host, data }), cannot, data);
  }
  for (const data of ['::', '::1', 'ff02::1', 'fe80::1', '::ffff:10.0.0.1']) {
    assert.equal(refused(parseHost, { ...host, data }), cannot, data);
  }
});

test('an address that is not written as we write it is refused in every record, saying how', () => {
  const table: readonly (readonly [(json: unknown, place: string) => unknown, object, string])[] = [
    [parseHost, { ...host, data: 'FD00::2' }, 'k: data is not how fd00::2 is written'],
    [parseHost, { ...host, data: 'fd00:0::2' }, 'k: data is not how fd00::2 is written'],
    [parseHost, { ...host, routes: ['FD00::/64'] }, 'k: routes.0 is not how fd00::/64 is written'],
    [parseHost, { ...host, data: '192.0.2.01' }, 'k: data is not an IP address'],
    [parseEndpoint, { ...endpoint, addresses: ['FD00:0::1/64'] }, 'k: addresses.0 is not how fd00::1/64 is written'],
    [
      parseNetwork,
      { ...network, subnets: [{ subnet: 'FD00::/64', gateway: 'fd00::1' }] },
      'k: subnets.0.subnet is not how fd00::/64 is written',
    ],
    [
      parseNetwork,
      { ...network, subnets: [{ subnet: 'fd00::/64', gateway: 'fd00:0::1' }] },
      'k: subnets.0.gateway is not how fd00::1 is written',
    ],
  ];
  for (const [parse, json, message] of table) assert.equal(refused(parse, json), message);
});

test('an endpoint has one address a subnet, each of a container, and a MAC address', () => {
  parseEndpoint(endpoint, 'k');
  const table: readonly (readonly [object, string])[] = [
    [{ addresses: ['10.0.0.2/24', '10.0.0.3/24'] }, 'k: addresses are several in one subnet'],
    [{ addresses: ['10.0.0.2/24', '10.0.9.3/16'] }, 'k: addresses are several in one subnet'],
    [{ addresses: ['127.0.0.1/8'] }, 'k: addresses.0 is not an address of a container'],
    [{ addresses: ['0.0.0.0/0'] }, 'k: addresses.0 is not an address of a container'],
    [{ addresses: ['224.0.0.5/24'] }, 'k: addresses.0 is not an address of a container'],
    [{ addresses: ['ff02::1/64'] }, 'k: addresses.0 is not an address of a container'],
    [{ addresses: ['::1/128'] }, 'k: addresses.0 is not an address of a container'],
    [{ mac: '00:00:00:00:00:00' }, 'k: mac is the MAC address of nobody'],
    [{ mac: 'ff:ff:ff:ff:ff:ff' }, 'k: mac is a multicast MAC address'],
  ];
  for (const [fields, message] of table) assert.equal(refused(parseEndpoint, { ...endpoint, ...fields }), message);
});

test('what stands with a subnet is in it, and subnets are apart', () => {
  parseNetwork({ ...network, subnets: [subnet, { subnet: 'fd00::/64', gateway: 'fd00::1' }] }, 'k');
  const table: readonly (readonly [object, string])[] = [
    [{ subnets: [{ ...subnet, gateway: '10.0.1.1' }] }, 'k: subnets.0 has a gateway that is not in it'],
    [{ subnets: [{ ...subnet, gateway: 'fd00::1' }] }, 'k: subnets.0 has a gateway that is not in it'],
    [{ subnets: [{ ...subnet, ipRange: '10.0.0.0/16' }] }, 'k: subnets.0 has a range that is not in it'],
    [
      { subnets: [{ ...subnet, auxAddresses: { a: '10.0.1.9' } }] },
      'k: subnets.0 has an auxiliary address that is not in it',
    ],
    [
      { subnets: [{ subnet: '224.0.0.0/24', gateway: '224.0.0.1' }] },
      'k: subnets.0 has a gateway that no machine can have',
    ],
    [{ subnets: [subnet, { subnet: '10.0.0.128/25', gateway: '10.0.0.129' }] }, 'k: subnets overlap each other'],
    [
      { mtu: 1200, subnets: [{ subnet: 'fd00::/64', gateway: 'fd00::1' }] },
      'k: the value has IPv6 and an MTU of less than 1280',
    ],
  ];
  for (const [fields, message] of table) assert.equal(refused(parseNetwork, { ...network, ...fields }), message);
});
