import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { openTestNamespace, sys, type TestNamespace } from '../namespace.testing.ts';
import { type Netlink, openNetlink } from '../netlink/socket.ts';
import { links } from './links.ts';
import { type Shortcut, shortcuts } from './shortcuts.ts';

describe('a shortcut', { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
  let namespace: TestNamespace;
  let nl: Netlink;
  let index: number;
  let whole: Shortcut;
  const sh = (script: string) => namespace.sh(script);
  const indexOf = (name: string) => links.get(nl, name)?.index ?? 0;

  before(() => {
    namespace = openTestNamespace();
    nl = namespace.inside(() => openNetlink(sys));
    sh('ip link add a0 type veth peer name a1');
    index = indexOf('a0');
  });
  after(() => {
    nl.close();
    namespace.close();
  });
  beforeEach(() => {
    sh('ip link del b0 2>/dev/null || true; ip link add b0 type veth peer name b1');
    const addresses = ['10.0.0.11', '10.255.0.11', '10.33.1.11/12', 'fd01::11', 'fd01:0:8000::ffff:11'];
    whole = { mac: '02:42:ff:00:80:11', prefix: '02:42', to: indexOf('b0'), addresses };
    nl.requests([shortcuts.removeMessage(index)]);
    shortcuts.add(nl, index, whole);
  });

  test('is got as it was added, and tc sees the same as of its own', () => {
    assert.deepEqual(shortcuts.get(nl, index), whole);
    nl.requests([shortcuts.removeMessage(index)]);
    sh('tc qdisc replace dev a0 clsact');
    assert.equal(shortcuts.get(nl, index), undefined);
    shortcuts.add(nl, index, whole);
    assert.deepEqual(shortcuts.get(nl, index), whole);
    const common = `match u16 0x0242 0xffff at -14 match ether src ${whole.mac}`;
    const act = 'action mirred egress redirect dev b0';
    const filter = (text: string) => {
      const [address, length] = text.split('/');
      const within = length === undefined ? '' : `match ip dst ${text} `;
      return text.includes(':')
        ? `ipv6 prio 2 u32 match u8 6 0xff at 6 ${common} match u16 0x86dd 0xffff at -2 match ip6 src ${address} ${act}`
        : `ip prio 1 u32 match u8 6 0xff at 9 ${common} match u16 0x0800 0xffff at -2 match ip src ${address} ${within}${act}`;
    };
    const add = whole.addresses.map((address) => `tc filter add dev a1 ingress protocol ${filter(address)}`);
    sh(`tc qdisc add dev a1 clsact\n${add.join('\n')}`);
    const shape = (text: string) => text.replaceAll(/index \d+/g, 'index N');
    assert.equal(shape(sh('tc filter show dev a0 ingress')), shape(sh('tc filter show dev a1 ingress')));
    assert.deepEqual(nl.requests([shortcuts.removeMessage(index)]), [undefined]);
    assert.equal(shortcuts.get(nl, index), undefined);
  });

  test('that lacks an address is got without it', () => {
    sh('tc filter del dev a0 ingress prio 1 protocol ip handle 800::801 u32');
    assert.deepEqual(shortcuts.get(nl, index)?.addresses, [
      '10.0.0.11',
      '10.33.1.11/12',
      'fd01::11',
      'fd01:0:8000::ffff:11',
    ]);
  });

  const redirect = 'action mirred egress redirect dev b0';
  for (const [what, filter] of Object.entries({
    'for all protocols': `protocol all prio 3 u32 match u8 6 0xff at 9 ${redirect}`,
    'for all that is IP': `protocol ip prio 1 u32 match u32 0 0 ${redirect}`,
    'for an address of any MAC': `protocol ip prio 1 u32 match u8 6 0xff at 9 match ip src 10.0.0.11 ${redirect}`,
    'that leads nowhere': 'protocol ip prio 1 u32 match ip src 10.0.0.11 flowid 1:1',
  })) {
    test(`with a filter ${what} is not what it should be`, () => {
      sh(`tc filter add dev a0 ingress ${filter}`);
      assert.ok(shortcuts.get(nl, index)?.addresses.includes(''), JSON.stringify(shortcuts.get(nl, index)));
    });
  }

  test('whose link is gone leads to 0', () => {
    sh('ip link del b0');
    assert.deepEqual(shortcuts.get(nl, index), { ...whole, to: 0 });
  });
});
