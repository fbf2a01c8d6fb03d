import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../lib/errors.ts';
import { type Namespaces, openNamespaces } from '../namespace.ts';
import { type Netlink, openNetlink } from '../netlink/socket.ts';
import { openSyscalls } from '../syscall.ts';
import { links } from './links.ts';
import { redirects, tfilter } from './redirects.ts';

/**
 * What the kernel answers to `tc filter show dev a0 ingress` when a0 (3) redirects one MAC to b0 (5): a hash table, the
 * redirect, and what leads to the table. iproute2 6.1 made them.
 */
const golden = {
  table: '000000000300000000001000f2ffffff00030100080001007533320008000b00000000000c0002000800040000010000',
  redirect:
    '000000000300000000181100f2ffffff00030100080001007533320008000b00000000000001020044000500010003000000000000000000' +
    '000000000000ffff00000242f0ffffff00000000ffffffff0a000011f4ffffff000000000100000000000000f8ffffff0000000008000200' +
    '0010110008000b0008000000a8000700a40001000b0001006d69727265640000440004001400010000000000000000000000000000000000' +
    '140007000000000000000000000000000000000018000300000000000000000000000000000000000000000008000a000000000048000200' +
    '2000020001000000000000000400000001000000010000000100000005000000240001000000000000000000000000000000000000000000' +
    '000000000000000000000000',
  lead:
    '000000000300000000080080f2ffffff00030100080001007533320008000b0000000000400002002400050000000100000000000000f4ff' +
    '000000ff000000000000000000000000000000000800020000000080080003000000100008000b0008000000',
};
const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

test('a filter is read as far as it is ours', () => {
  const read = (hex: string) =>
    Object.fromEntries(Object.entries(tfilter.decode(bytesOf(hex))).filter(([, v]) => v !== undefined));
  assert.deepEqual(read(golden.table), { handle: 0x00100000, divisor: 256, to: 0 });
  assert.deepEqual(read(golden.redirect), { handle: 0x00111800, mac: '02:42:0a:00:00:11', to: 5 });
  assert.deepEqual(read(golden.lead), { handle: 0x80000800, link: 0x00100000, to: 0 });
});

test('what is cut off or garbled is a DecodeError or another filter', () => {
  const attempt = (bytes: Uint8Array) => {
    try {
      tfilter.decode(bytes);
    } catch (error) {
      assert.ok(error instanceof DecodeError);
    }
  };
  const whole = bytesOf(golden.redirect);
  for (let end = 0; end < whole.length; end++) attempt(whole.subarray(0, end));
  for (let end = 0; end < 20; end++) assert.throws(() => tfilter.decode(whole.subarray(0, end)), DecodeError);
  fc.assert(fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => attempt(whole.with(at, value))));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), attempt));
});

describe('redirects', { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
  const sys = openSyscalls();
  const directory = mkdtempSync(join(tmpdir(), 'skein-'));
  const path = join(directory, 'redirects');
  let namespaces: Namespaces;
  let fd: number;
  let nl: Netlink;
  const sh = (command: string) =>
    execFileSync('nsenter', [`--net=${path}`, 'sh', '-euc', command], { encoding: 'utf8' });
  const indexOf = (name: string) => links.get(nl, name)?.index ?? 0;

  before(() => {
    namespaces = openNamespaces(sys);
    fd = namespaces.make(path);
    nl = namespaces.inside(fd, () => openNetlink(sys));
    sh('ip link add a0 type veth peer name a1; ip link add b0 type veth peer name b1');
  });
  after(() => {
    nl.close();
    closeSync(fd);
    namespaces.unpin(path);
    namespaces.close();
    rmSync(directory, { recursive: true });
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
      ${macs.map(filter).join('\n')}`);
    const shape = (text: string) => text.replaceAll(/index \d+/g, 'index N');
    assert.equal(shape(ours), shape(sh('tc filter show dev a1 ingress')));

    const [first, ...rest] = made;
    assert.deepEqual(nl.requests([redirects.removeMessage(first ?? assert.fail())]), [undefined]);
    assert.deepEqual(redirects.list(nl, index)?.toSorted(byHandle), rest.toSorted(byHandle));
    redirects.open(nl, index);
    assert.deepEqual(redirects.list(nl, index), []);
    assert.deepEqual(nl.requests([redirects.closeMessage(index)]), [undefined]);
    assert.equal(redirects.list(nl, index), undefined);
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
