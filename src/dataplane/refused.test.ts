import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { keyOf } from './dataplane.ts';
import { network, piecesFor, sandboxOf } from './sample.ts';
import { isRoot, Testbed, type TestHost } from './testbed.ts';

const h1 = { number: 1, data: '10.9.0.1' };
const h2 = { number: 2, data: '10.9.0.2' };
const skip = isRoot ? false : 'it needs root';

describe('what the kernel refuses', { skip }, () => {
  let testbed: Testbed;
  let host: TestHost;
  before(async () => {
    testbed = await Testbed.open();
    host = await testbed.host('10.9.0.1/24');
  });
  after(() => testbed?.close());

  test('in one sandbox is left, and the rest is done', async () => {
    const pieces = piecesFor(h1, [h2]);
    await host.set(pieces);
    const sandbox = sandboxOf(h1);
    host.sh(`ip -n ${sandbox} route flush table main`);
    host.sh(`ip -n ${network.namespace} link set br0 mtu 1000`);
    const { steps } = await host.dataplane.repair();
    assert.ok(
      steps.some((step) => step.includes('br0')),
      steps.join('\n'),
    );
    assert.match(host.sh(`ip -n ${network.namespace} link show br0`), new RegExp(`mtu ${network.mtu}`));
    await host.kill();
    await host.set(pieces);
    host.sh(`ip -n ${sandbox} addr flush dev eth1`);
    await host.dataplane.repair();
    assert.match(host.sh(`ip -n ${sandbox} route`), /default via/);
  });

  test('a namespace that was adopted and is gone takes nothing else along', async () => {
    host.sh('ip netns add foreign');
    const adopted = await host.dataplane.adopt({ path: '/run/netns/foreign' });
    const pieces = [...piecesFor(h1, [h2]), { kind: 'sandbox', id: 'aaaaaaaaaaaa', adopted } as const];
    await host.set(pieces);
    await host.kill();
    host.sh('ip netns del foreign; umount /run/skein/netns/aaaaaaaaaaaa; rm /run/skein/netns/aaaaaaaaaaaa');
    host.sh(`ip -n ${network.namespace} link del vxlan0`);
    await host.set(pieces);
    assert.match(host.sh(`ip -n ${network.namespace} link show vxlan0`), /UP/);
    await host.dataplane.change({ remove: [keyOf({ kind: 'sandbox', id: 'aaaaaaaaaaaa' })] });
  });

  test('a namespace that is adopted again and again is held open once', async () => {
    host.sh('ip netns add again');
    const open = () => readdirSync(`/proc/${host.daemonPid}/fd`).length;
    await host.dataplane.adopt({ path: '/run/netns/again' });
    const before = open();
    for (let i = 0; i < 20; i++) await host.dataplane.adopt({ path: '/run/netns/again' });
    assert.equal(open(), before);
  });
});
