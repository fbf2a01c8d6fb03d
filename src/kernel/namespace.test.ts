import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isKernelError } from './kernel-error.ts';
import { bootId, inodeOf, type Namespaces, openNamespace, openNamespaces, pinnedInode } from './namespace.ts';
import { openSyscalls } from './syscall.ts';
import { sysctls } from './sysctl.ts';

describe('network namespaces', { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
  const sys = openSyscalls();
  const directory = mkdtempSync(join(tmpdir(), 'skein-'));
  const [path, second] = [join(directory, 'one'), join(directory, 'two')];
  const here = () => readlinkSync('/proc/thread-self/ns/net');
  let namespaces: Namespaces;

  before(() => {
    namespaces = openNamespaces(sys);
  });
  after(() => {
    namespaces.unpin(path);
    namespaces.unpin(second);
    namespaces.close();
    rmSync(directory, { recursive: true });
  });

  test('one that was made is pinned, entered and left, also when the work inside fails', () => {
    const home = here();
    const fd = namespaces.make(path);
    assert.equal(here(), home);
    assert.equal(pinnedInode(path), inodeOf(fd));
    assert.equal(namespaces.inside(fd, here), `net:[${inodeOf(fd)}]`);
    assert.throws(() => namespaces.inside(fd, () => assert.fail('inside')), /inside/);
    assert.equal(here(), home);
    closeSync(fd);
  });

  test('one can be pinned twice and lives until it is let go everywhere', () => {
    const fd = openNamespace(path);
    namespaces.pin(fd, second);
    const inode = inodeOf(fd);
    closeSync(fd);
    namespaces.unpin(path);
    namespaces.unpin(path);
    assert.ok(!existsSync(path));
    assert.equal(pinnedInode(second), inode);
  });

  test('a file that is left over from before a restart of the machine is no obstacle', () => {
    closeSync(openSync(path, 'w'));
    assert.equal(pinnedInode(path), undefined);
    closeSync(namespaces.make(path));
    assert.notEqual(pinnedInode(path), undefined);
  });

  test('what is none is refused, and nothing is entered', () => {
    const home = here();
    const file = openSync('/proc/self/status', 'r');
    assert.throws(
      () => namespaces.inside(file, here),
      (error) => isKernelError(error, 'EINVAL'),
    );
    closeSync(file);
    assert.throws(
      () => openNamespace(join(directory, 'nowhere')),
      (error) => isKernelError(error, 'ENOENT'),
    );
    assert.equal(here(), home);
    assert.match(bootId(), /^[0-9a-f-]{36}$/);
  });

  test('settings are those of the namespace that the thread is in', () => {
    const fd = openNamespace(path);
    const before = readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim();
    namespaces.inside(fd, () => {
      assert.ok(sysctls.set('net/ipv4/ip_forward', '1'));
      assert.equal(sysctls.get('net/ipv4/ip_forward'), '1');
      assert.equal(sysctls.get('net/ipv6/conf/no-such-link/accept_ra'), undefined);
      assert.equal(sysctls.set('net/ipv6/conf/no-such-link/accept_ra', '0'), false);
      assert.throws(
        () => sysctls.set('net/ipv4/ip_forward', 'nonsense'),
        (error) => isKernelError(error, 'EINVAL'),
      );
    });
    assert.equal(sysctls.get('net/ipv4/ip_forward'), before);
    closeSync(fd);
  });
});
