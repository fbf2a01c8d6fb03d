import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { openSyscalls } from '../../kernel/syscall.ts';
import { FORWARDING } from '../host-settings.ts';
import { forwardingNeeds } from './forwarding.ts';

const CLONE_NEWNET = 0x40000000;
const skip = process.getuid?.() !== 0 && 'needs root';

test('bridges of others need forwarding: of IPv6 those that have a global address', { skip }, async () => {
  openSyscalls().unshare(CLONE_NEWNET);
  assert.deepEqual(await forwardingNeeds(), new Map());
  const script = `
    for name in docker0 virbr0 ours; do ip link add $name type bridge; ip link set $name up; done
    ip address add fe80::1/64 dev docker0 nodad
    ip address add fd00:1::1/64 dev virbr0 nodad
    ip address add fd00:2::1/64 dev ours nodad`;
  execFileSync('sh', ['-euc', script]);
  const needs = await forwardingNeeds();
  assert.deepEqual(needs.get(FORWARDING.ip)?.split(', ').toSorted(), ['the bridge docker0', 'the bridge virbr0']);
  assert.equal(needs.get(FORWARDING.ip6), 'the bridge virbr0');
});
