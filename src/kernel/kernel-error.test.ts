import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { errnoName, isKernelError, KernelError } from './kernel-error.ts';

test("a message says what was tried, why it failed, and the kernel's words where there are some", () => {
  const action = 'add route 10.1.0.0/24 via 192.0.2.7';
  assert.equal(new KernelError(action, 'EEXIST').message, `${action}: File exists (EEXIST)`);
  assert.equal(
    new KernelError(action, 'ENETUNREACH', { detail: 'Nexthop has invalid gateway' }).message,
    `${action}: Network is unreachable (ENETUNREACH): Nexthop has invalid gateway`,
  );
  assert.equal(new KernelError(action, 'EXFULL').message, `${action}: EXFULL`);
  assert.equal(new KernelError(action, 'EXFULL').action, action);
  const cause = new Error('below');
  assert.equal(new KernelError(action, 'EIO', { cause }).cause, cause);
});

test('the error of a second try tells of the first one, unless it is the same', () => {
  const first = new KernelError('add route ::/0', 'EINVAL', { detail: 'Gateway can not be a local address' });
  const second = new KernelError('add link eth0', 'EEXIST');
  const told = second.after(first);
  assert.equal(told.message, `add link eth0: File exists (EEXIST): tried again, after ${first.message}`);
  assert.deepEqual([told.code, told.cause], ['EEXIST', second]);
  assert.equal(
    first.after(new KernelError(first.action, 'EINVAL', { detail: 'Gateway can not be a local address' })),
    first,
  );
});

test('errors are told apart by their code', () => {
  const error = new KernelError('try it', 'ENODEV');
  assert.ok(isKernelError(error, 'EEXIST', 'ENODEV'));
  assert.ok(!isKernelError(error, 'EEXIST'));
  assert.ok(!isKernelError(Object.assign(new Error('other'), { code: 'ENODEV' }), 'ENODEV'));
});

test('every number has a name, the one of the kernel where there are two', () => {
  assert.equal(errnoName(constants.errno.EEXIST), 'EEXIST');
  assert.equal(errnoName(11), 'EAGAIN');
  assert.equal(errnoName(95), 'EOPNOTSUPP');
  assert.equal(errnoName(524), 'ENOTSUPP');
  assert.equal(errnoName(4095), 'errno 4095');
});
