import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../lib/errors.ts';
import { nlmsg } from '../netlink/message.ts';
import { type Netlink, openNetlink } from '../netlink/socket.ts';
import { openSyscalls } from '../syscall.ts';
import { VERDICT } from './expression.ts';
import { NF_NETDEV, NFPROTO, NFT_MSG, nftChain, nftRulePlace, nftSet, nftTable } from './message.ts';
import { netdev } from './netdev.ts';
import { NETLINK_NETFILTER } from './notification.ts';
import { parseRuleset } from './ruleset.ts';

/** What the kernel answers to `nft list table netdev skein`; `scripts/capture-nftables.ts` wrote it down. */
const { received }: { received: readonly string[] } = JSON.parse(
  readFileSync(new URL('captured.json', import.meta.url), 'utf8'),
);
const messages = received.flatMap((hex) => nlmsg.decode(Buffer.from(hex, 'hex')));
const payloads = (wanted: number) => messages.filter(({ type }) => type === wanted).map(({ payload }) => payload);
const decoded = <T>(wanted: number, codec: { decode(payload: Uint8Array): T }) =>
  payloads(wanted).map((payload) => codec.decode(payload));
const table = 'skein';

test('what the kernel tells of a table is read', () => {
  assert.deepEqual(decoded(NFT_MSG.NEWTABLE, nftTable), [{ family: NFPROTO.NETDEV, name: table }]);
  assert.deepEqual(decoded(NFT_MSG.NEWSET, nftSet), [
    { table, name: 'macs', anonymous: false, map: false },
    { table, name: '__set0', anonymous: true, map: false },
  ]);
  const hook = { hook: NF_NETDEV.INGRESS, device: 'lo', priority: 0, policy: VERDICT.DROP };
  assert.deepEqual(decoded(NFT_MSG.NEWCHAIN, nftChain), [
    { table, name: 'send' },
    { table, name: 'veth0', hook },
  ]);
  const rules = decoded(NFT_MSG.NEWRULE, nftRulePlace);
  assert.deepEqual(rules, [
    { table, chain: 'send' },
    ...Array.from({ length: 7 }, () => ({ table, chain: 'veth0', comment: '0123456789abcdef' })),
  ]);
});

const decoders = [nftTable, nftSet, nftChain, nftRulePlace] as const;

test('what is cut off or garbage is read as something shorter or is a DecodeError', () => {
  const tryAll = (payload: Uint8Array) => {
    for (const codec of decoders) {
      try {
        codec.decode(payload);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
      }
    }
  };
  for (const { payload } of messages) for (let end = 0; end < payload.length; end++) tryAll(payload.subarray(0, end));
  for (const codec of decoders) assert.throws(() => codec.decode(new Uint8Array(3)), DecodeError);
  const [rule = assert.fail('no rule')] = payloads(NFT_MSG.NEWRULE);
  // In the middle of its table's name.
  assert.throws(() => nftRulePlace.decode(rule.subarray(0, 11)), DecodeError);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), tryAll));
});

const CLONE_NEWNET = 0x40000000;

describe('tables listed without libnftables', { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
  const nft = (...args: readonly string[]) => execFileSync('nft', args, { encoding: 'utf8' });
  const open = (): Netlink => {
    const sys = openSyscalls();
    sys.unshare(CLONE_NEWNET);
    return openNetlink(sys, { family: NETLINK_NETFILTER });
  };

  test('are as nft shows them', () => {
    const nl = open();
    nft(
      [
        'add table netdev skein',
        'add table netdev other',
        'add chain netdev other a { type filter hook ingress device "lo" priority 1; }',
        'add rule netdev other a accept comment "of another table"',
        'add set netdev skein macs { type ether_addr; }',
        'add map netdev skein verdicts { type ether_addr : verdict; }',
        'add counter netdev skein seen',
        'add map netdev skein counters { type ether_addr : counter; }',
        'add chain netdev skein send',
        'add rule netdev skein send icmpv6 type { nd-router-advert, nd-redirect } drop',
        'add chain netdev skein lo { type filter hook ingress device "lo" priority -5; policy drop; }',
        'add rule netdev skein lo ip saddr 10.0.0.1 goto send comment "first"',
        'add rule netdev skein lo counter accept',
        'add rule netdev skein lo drop comment "last"',
        'add chain netdev skein out { type filter hook egress device "lo" priority 7; }',
        'add table ip a',
        'add table ip6 b',
        'add table inet c',
        'add table bridge d',
        'add table arp e',
      ].join('; '),
    );
    const shown = parseRuleset(nft('-j', 'list', 'table', 'netdev', 'skein'));
    const listed = netdev.list(nl, 'skein', { tables: 'netdev' });
    // nft before 1.0.7 does not show it.
    const withDevice = shown.chains.map((chain) => ({
      ...chain,
      ...(chain.hook && { hook: { ...chain.hook, device: 'lo' } }),
    }));
    assert.deepEqual(listed.chains, withDevice);
    assert.deepEqual(listed.sets, shown.sets);
    assert.deepEqual(listed.tables, parseRuleset(nft('-j', 'list', 'tables', 'netdev')).tables);
    const all = netdev.list(nl, 'skein', { tables: 'all' });
    assert.deepEqual(all.tables, parseRuleset(nft('-j', 'list', 'tables')).tables);
    assert.deepEqual(netdev.list(nl, 'nothing', { tables: 'netdev' }).chains, []);
    nl.close();
  });
});
