import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openTestNamespace, sys, type TestNamespace } from '../namespace.testing.ts';
import { type Netlink, openNetlink } from '../netlink/socket.ts';
import { links } from './links.ts';
import { redirects } from './redirects.ts';

describe('redirects', { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
  let namespace: TestNamespace;
  let nl: Netlink;
  const sh = (script: string) => namespace.sh(script);
  const indexOf = (name: string) => links.get(nl, name)?.index ?? 0;

  before(() => {
    namespace = openTestNamespace();
    nl = namespace.inside(() => openNetlink(sys));
    sh('ip link add a0 type veth peer name a1; ip link add b0 type veth peer name b1');
  });
  after(() => {
    nl.close();
    namespace.close();
  });

  test('are listed as they were made, and tc sees the same as of its own', () => {
    const [index, to] = [indexOf('a0'), indexOf('b0')];
    assert.equal(redirects.list(nl, index), undefined);
    redirects.open(nl, index);
    assert.deepEqual(redirects.list(nl, index), []);
    const macs = ['02:42:0a:00:00:11', '02:42:0a:00:01:11', '02:42:0a:00:00:ff', '00:00:00:00:00:01'];
    const made = macs.map((mac) => ({ index, mac, to, handle: redirects.add(nl, { index, mac, to }) }));
    const byHandle = (a: { handle: number }, b: { handle: number }) => a.handle - b.handle;
    assert.deepEqual(redirects.list(nl, index)?.toSorted(byHandle), made.toSorted(byHandle));

    const ours = sh('tc filter show dev a0 ingress');
    const filter = (mac: string) =>
      `tc filter add dev a1 ingress protocol all prio 1 u32 ht 1:${mac.slice(-2)}: match ether dst ${mac} match u8 0 1 at -8 action mirred egress redirect dev b0`;
    sh(`tc qdisc add dev a1 clsact
      tc filter add dev a1 ingress protocol all prio 1 handle 1: u32 divisor 256
      tc filter add dev a1 ingress protocol all prio 1 u32 ht 800:: match u32 0 0 hashkey mask 0x000000ff at -12 link 1:
      tc filter add dev a1 egress protocol all prio 2 u32 ht 801:: match u32 0 0 hashkey mask 0x000000ff at -12 link 1:
      ${macs.map(filter).join('\n')}`);
    const shape = (text: string) => text.replaceAll(/index \d+/g, 'index N');
    assert.equal(shape(ours), shape(sh('tc filter show dev a1 ingress')));
    assert.equal(sh('tc filter show dev a0 egress'), sh('tc filter show dev a1 egress'));

    const [first, ...rest] = made;
    assert.deepEqual(nl.requests([redirects.removeMessage(first ?? assert.fail())]), [undefined]);
    assert.deepEqual(redirects.list(nl, index)?.toSorted(byHandle), rest.toSorted(byHandle));
    redirects.open(nl, index);
    assert.deepEqual(redirects.list(nl, index), []);
    assert.deepEqual(nl.requests([redirects.closeMessage(index)]), [undefined]);
    assert.equal(redirects.list(nl, index), undefined);
  });

  test('are none when a side lacks what leads to them', () => {
    const index = indexOf('a0');
    for (const side of ['ingress prio 1', 'egress prio 2']) {
      redirects.open(nl, index);
      sh(`tc filter del dev a0 ${side}`);
      assert.equal(redirects.list(nl, index), undefined);
    }
  });

  test('are for what comes in and what would leave', () => {
    sh('tc qdisc del dev a1 clsact; ip link set a0 up; ip link set a1 up; ip link set b0 up; ip link set b1 up');
    const index = indexOf('a0');
    const mac = '02:42:0a:00:00:11';
    redirects.open(nl, index);
    redirects.add(nl, { index, mac, to: indexOf('b0') });
    const send = new URL('../../dataplane/testbed-send.ts', import.meta.url).pathname;
    const frame = `${mac.replaceAll(':', '')}0242000000018000`.padEnd(120, '0');
    const redirected = () => Number(/Sent \d+ bytes (\d+) pkt/.exec(sh('tc -s filter show dev a0 ingress'))?.[1]);
    for (const [i, from] of ['a1', 'a0'].entries()) {
      sh(`${process.execPath} ${send} ${from} ${frame}`);
      assert.equal(redirected(), i + 1);
    }
  });

  test('whose link is gone lead to 0', () => {
    sh('ip link add c0 type veth peer name c1');
    const index = indexOf('a0');
    redirects.open(nl, index);
    redirects.add(nl, { index, mac: '02:42:0a:00:00:11', to: indexOf('c0') });
    sh('ip link del c0');
    assert.deepEqual(
      redirects.list(nl, index)?.map(({ mac, to }) => ({ mac, to })),
      [{ mac: '02:42:0a:00:00:11', to: 0 }],
    );
  });
});
