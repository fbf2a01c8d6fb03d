import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nft } from './nft.ts';
import { HOST, linkId, object } from './objects.ts';
import type { Step } from './plan.ts';
import { sentencesOf } from './sentences.ts';

const bridge = object.bridge(HOST, 'skein_gwbridge', { mac: '5e:00:00:00:00:01', mtu: 1500 });
const add = (...objects: readonly Step['object'][]): Step[] => objects.map((each) => ({ do: 'add', object: each }));

test('what hangs on something that was missing is counted', () => {
  const steps = add(bridge, object.up(HOST, 'skein_gwbridge', linkId(HOST, 'skein_gwbridge')));
  assert.deepEqual(sentencesOf(steps), ['on the host: link skein_gwbridge and 1 more were missing; put right']);
});

test('there is one sentence a namespace, however much was wrong', () => {
  const steps: Step[] = [
    ...add(...Array.from({ length: 9 }, (_, i) => nft.table(HOST, i % 2 === 0 ? 'ip' : 'ip6'))),
    ...add(object.sysctl('a00000000001', 'net/ipv6/conf/eth0/accept_ra', '0')),
    { do: 'remove', object: object.stray('1-3d430f3338', 'stray') },
  ];
  assert.deepEqual(sentencesOf(steps), [
    'on the host: nft-table ip skein, nft-table ip6 skein and 7 more were missing; put right',
    'in the sandbox a00000000001: sysctl net/ipv6/conf/eth0/accept_ra was missing; put right',
    'in the network 1-3d430f3338: link stray was there and should not be; put right',
  ]);
});
