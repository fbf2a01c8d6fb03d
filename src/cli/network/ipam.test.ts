import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusal } from '../../lib/errors.ts';
import { type IpamFlags, pairSubnets } from './ipam.ts';

const none: IpamFlags = { subnet: [], gateway: [], ipRange: [], auxAddress: [] };

test('gateways, ranges and auxiliary addresses go to the subnet that holds them, in whatever order they stand', () => {
  const paired = pairSubnets({
    subnet: ['10.0.0.0/16', 'fd00:1::/64', '10.1.0.0/16'],
    gateway: ['fd00:1::ff', '10.1.0.254'],
    ipRange: ['10.1.5.0/24', '10.0.5.0/24'],
    auxAddress: ['a=10.1.5.9', 'b=10.0.0.9', 'c=10.1.0.9'],
  });
  assert.deepEqual(paired, [
    { subnet: '10.0.0.0/16', ipRange: '10.0.5.0/24', auxAddresses: { b: '10.0.0.9' } },
    { subnet: 'fd00:1::/64', gateway: 'fd00:1::ff' },
    {
      ...{ subnet: '10.1.0.0/16', ipRange: '10.1.5.0/24', gateway: '10.1.0.254' },
      auxAddresses: { a: '10.1.5.9', c: '10.1.0.9' },
    },
  ]);
});

test('what does not work out is said as Docker says it', () => {
  const subnet = ['10.0.0.0/16'];
  const two = [...subnet, '10.1.0.0/16'];
  const table: [Partial<IpamFlags>, string][] = [
    [{ gateway: ['10.0.0.1'] }, 'every ip-range or gateway must have a corresponding subnet'],
    [{ subnet, ipRange: ['10.0.5.0/24', '10.0.6.0/24'] }, 'every ip-range or gateway must have a corresponding subnet'],
    [{ subnet: [...subnet, '10.0.9.0/24'] }, 'multiple overlapping subnet configuration is not supported'],
    [{ subnet, ipRange: ['10.9.0.0/24'] }, 'no matching subnet for range 10.9.0.0/24'],
    [{ subnet, gateway: ['10.9.0.1'] }, 'no matching subnet for gateway 10.9.0.1'],
    [{ subnet, auxAddress: ['a=10.9.0.1'] }, 'no matching subnet for aux-address 10.9.0.1'],
    [
      { subnet: two, ipRange: ['10.0.5.0/24', '10.0.6.0/24'] },
      'cannot configure multiple ranges (10.0.6.0/24, 10.0.5.0/24) on the same subnet (10.0.0.0/16)',
    ],
    [
      { subnet: two, gateway: ['10.0.0.1', '10.0.0.2'] },
      'cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/16)',
    ],
    [{ subnet, auxAddress: ['10.0.0.9'] }, 'auxiliary address "10.0.0.9" is not NAME=ADDRESS'],
    [{ subnet: ['10.0.0.0'] }, '"10.0.0.0" is not an address with a prefix length, such as 10.0.0.0/24'],
  ];
  for (const [flags, message] of table) {
    assert.throws(
      () => pairSubnets({ ...none, ...flags }),
      (error) => error instanceof Refusal && error.message === message,
      message,
    );
  }
});
