import assert from 'node:assert/strict';
import { closeSync, existsSync } from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';
import { openHolder } from '../kernel/holder.ts';
import { builtProgram } from '../kernel/programs.testing.ts';
import { openSyscalls } from '../kernel/syscall.ts';
import { nameServerAddresses } from '../model/name-server.ts';
import { keyOf, type Piece } from './dataplane.ts';
import { exitOf, network, piecesFor, portOf, sandboxOf } from './sample.ts';
import { isRoot, Testbed, type TestHost, until } from './testbed.ts';

const h1 = { number: 1, data: '10.9.0.1' };
const h3 = { number: 3, data: '10.9.0.3' };
const here = sandboxOf(h1);
const other = sandboxOf(h3);
const full = piecesFor(h1, []);
const second = {
  ...network,
  ...{ id: '77aa00bb11cc', namespace: '2-77aa00bb11', vni: 257, gateways: ['10.0.1.1/24'] },
  answers: [nameServerAddresses[4]],
} as const;
const onSecond: Piece = {
  ...{ ...portOf(h3), network: second.id, endpoint: 's3', interface: 'eth0' },
  ...{ mac: '02:42:0a:00:01:13', addresses: ['10.0.1.13/24'] },
};
const onFirst: Piece = { ...portOf(h3), port: 'veth1', interface: 'eth2' };
const listener = { kind: 'listener', address: '127.0.0.9', port: 5300 } as const;
const addresses = Object.values(nameServerAddresses);

/** Asks once, and prints what comes within ten seconds. */
function asking(transport: 'udp' | 'tcp', address: string, port = 53): string {
  const udp = `const s = require('dgram').createSocket('udp${address.includes(':') ? 6 : 4}');
    s.on('message', (bytes) => { console.log(String(bytes)); s.close(); }); s.send('hello', ${port}, '${address}');`;
  const tcp = `const s = require('net').connect(${port}, '${address}', () => s.write('hello'));
    s.on('data', (bytes) => { console.log(String(bytes)); s.end(); });`;
  const script = (transport === 'udp' ? udp : tcp).replaceAll(/\s+/g, ' ');
  return `timeout 10 ${process.execPath} -e "${script}"`;
}

describe('sockets for names', { skip: !isRoot && 'needs root' }, () => {
  let testbed: Testbed;
  let a: TestHost;

  before(async () => {
    await builtProgram('holder');
    testbed = await Testbed.open();
    a = await testbed.host(`${h1.data}/24`);
  });
  after(() => testbed.close());
  beforeEach(() => a.set(full));

  const ask = (namespace: string, ...how: Parameters<typeof asking>) => a.in(namespace, asking(...how)).trim();

  /** The names under which sockets are held, now. */
  const held = (): readonly string[] => {
    const sys = openSyscalls();
    const holder = openHolder(sys, `/proc/${a.pid}/root/run/skein/holder.sock`);
    if (holder === undefined) return [];
    const listed = holder.list();
    for (const fd of listed.values()) closeSync(fd);
    holder.close();
    return [...listed.keys()];
  };
  const inodeOf = (namespace: string) => a.sh(`stat -Lc %i /run/skein/netns/${namespace}`).trim();

  test('what is asked while there is no daemon is answered by the next one', async () => {
    await a.kill();
    const waiting = addresses.flatMap((address) =>
      (['udp', 'tcp'] as const).map((transport) => a.start(here, asking(transport, address))),
    );
    const unread = () =>
      a
        .in(network.namespace, 'ss -Hltun')
        .split('\n')
        .filter((line) => / [1-9]\d* +\d+ +\S+:53 /.test(line));
    await until(() => unread().length === 4, 'all questions waiting');
    const memory = a.in(network.namespace, 'ss -Hlunm');
    assert.equal([...memory.matchAll(/,rb1048576,/g)].length, 2, 'a megabyte for each family');
    assert.deepEqual(await a.set(full), { steps: [] });
    for (const answer of await Promise.all(waiting)) assert.equal(answer, `${network.id} hello\n`);
  });

  test('a sandbox on two networks asks by its first interface, and by the other once that is gone', async () => {
    const sandbox: Piece = { kind: 'sandbox', id: other };
    const route = () => a.sh(`ip -n ${other} route show ${nameServerAddresses[4]}`).split(' ')[2];
    await a.dataplane.change({ put: [sandbox, onFirst] });
    assert.equal(ask(other, 'udp', nameServerAddresses[4]), `${network.id} hello`);
    await a.dataplane.change({ put: [second, onSecond] });
    assert.equal(route(), 'eth0');
    assert.equal(ask(other, 'udp', nameServerAddresses[4]), `${second.id} hello`);
    // The second network has no IPv6.
    assert.equal(ask(other, 'tcp', nameServerAddresses[6]), `${network.id} hello`);
    // Whichever comes first at a start.
    await a.kill();
    assert.deepEqual(await a.set([...full, second, onSecond, onFirst, sandbox]), { steps: [] });
    await a.dataplane.change({ remove: [keyOf(onSecond), keyOf(second)] });
    assert.equal(route(), 'eth2');
    assert.equal(ask(other, 'udp', nameServerAddresses[4]), `${network.id} hello`);
  });

  test('an interface that is gone from what should be, and not yet from the kernel, leads nobody astray', async () => {
    const two: readonly Piece[] = [...full, second, { kind: 'sandbox', id: other }, onSecond, onFirst];
    await a.set(two);
    await a.kill();
    const rest = two.filter((piece) => piece !== onSecond && piece !== second);
    await a.set(rest);
    assert.equal(ask(other, 'udp', nameServerAddresses[4]), `${network.id} hello`);
    assert.deepEqual(await a.dataplane.repair(), { steps: [] });
  });

  test('a namespace that others made asks like any other, and has nothing of it once it is detached', async () => {
    a.sh('ip netns add foreign');
    const id = 'c00000000001';
    const adopted = await a.dataplane.adopt({ path: '/run/netns/foreign' });
    const put: readonly Piece[] = [
      { kind: 'sandbox', id, adopted },
      { ...portOf(h3), sandbox: id, port: 'veth5' },
      { ...exitOf(h3, 3), sandbox: id },
    ];
    await a.dataplane.change({ put });
    for (const address of addresses) assert.equal(ask('foreign', 'udp', address), `${network.id} hello`);
    await a.dataplane.change({ remove: put.map(keyOf) });
    assert.equal(a.sh('ip -n foreign route; ip -n foreign -6 route'), '');
    a.sh('ip netns del foreign');
  });

  test('a network that goes leaves no socket, neither here nor held, and its namespace ends', async () => {
    const inode = inodeOf(network.namespace);
    assert.equal(held().filter((name) => name.startsWith(`${network.namespace} ${inode} `)).length, 4);
    await a.dataplane.change({ remove: [keyOf(portOf(h1)), keyOf(network)] });
    assert.deepEqual(held(), []);
    await until(() => !a.sh('lsns -t net -no NS').includes(inode), 'the end of the namespace');
  });

  test('what holds them ends with the last of them, once nobody is connected', async () => {
    await a.set([]);
    assert.ok(a.socketHolderPid !== undefined);
    await a.dataplane.close();
    await until(() => a.socketHolderPid === undefined, 'the end of the holder', 2000);
    await a.kill();
  });

  test('when what holds them is killed another gets them all', async () => {
    const before = held().toSorted();
    const { socketHolderPid: former } = a;
    process.kill(former ?? 0, 'SIGKILL');
    await until(() => a.socketHolderPid === undefined, 'the end of the holder');
    assert.deepEqual(await a.dataplane.repair(), { steps: [] });
    assert.notEqual(a.socketHolderPid, former);
    assert.deepEqual(held().toSorted(), before);
    await a.kill();
    assert.deepEqual(await a.set(full), { steps: [] });
    assert.equal(ask(here, 'udp', nameServerAddresses[4]), `${network.id} hello`);
  });

  test('one that hangs holds nobody up for long, and has them all once it goes on', async () => {
    const pid = a.socketHolderPid ?? assert.fail('no holder');
    process.kill(pid, 'SIGSTOP');
    try {
      const began = performance.now();
      await a.dataplane.change({ put: [listener] });
      const took = performance.now() - began;
      assert.ok(took < 1500, `${took} ms`);
      assert.equal(a.sh(asking('udp', listener.address, listener.port)).trim(), 'listener hello');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await a.dataplane.repair();
    assert.equal(a.socketHolderPid, pid);
    assert.equal(held().length, 6);
    await a.dataplane.change({ remove: [keyOf(listener)] });
    assert.equal(held().length, 4);
  });

  test('when its place is taken away another has them all, and the former ends', async () => {
    const before = held().toSorted();
    const { socketHolderPid: former } = a;
    a.sh('rm /run/skein/holder.sock');
    assert.deepEqual(await a.dataplane.repair(), { steps: [] });
    assert.deepEqual(held().toSorted(), before);
    await until(() => !existsSync(`/proc/${former}/exe`), 'the end of the former', 2000);
  });

  test('without anything to hold them they work, and are made anew by the next daemon', async () => {
    await a.set([]);
    await a.dataplane.close();
    await a.kill();
    a.holder = '/nowhere/skein-holder';
    try {
      await a.set(full);
      assert.equal(ask(here, 'tcp', nameServerAddresses[4]), `${network.id} hello`);
      await a.kill();
      const { steps } = await a.set(full);
      assert.equal(steps.filter((step) => step.startsWith(`add ${network.namespace} socket `)).length, 4);
      assert.equal(steps.length, 4, steps.join('\n'));
      assert.equal(ask(here, 'udp', nameServerAddresses[6]), `${network.id} hello`);
    } finally {
      a.holder = undefined;
      await a.kill();
    }
  });

  test('the sockets of a namespace that was replaced go, and the new one gets its own', async () => {
    const former = inodeOf(network.namespace);
    await a.kill();
    const pin = `/run/skein/netns/${network.namespace}`;
    a.sh(`unshare -n sh -c 'umount -l ${pin} && mount --bind /proc/self/ns/net ${pin}'`);
    assert.notEqual(inodeOf(network.namespace), former);
    await a.set(full);
    // The VNI is free once the former namespace has ended.
    const deadline = Date.now() + 5000;
    while (!a.succeeds(network.namespace, 'ip link show vxlan0 up') && Date.now() < deadline)
      await a.dataplane.repair();
    assert.equal(held().length, 4);
    assert.ok(held().every((name) => name.startsWith(`${network.namespace} ${inodeOf(network.namespace)} `)));
    assert.equal(ask(here, 'udp', nameServerAddresses[4]), `${network.id} hello`);
  });

  test('a listener is there before its address, and waits for a place that another has', async (t) => {
    const script = `require('dgram').createSocket('udp4').bind(5300, '127.0.0.9')`;
    a.sh(`${process.execPath} -e "${script}" >/dev/null 2>&1 & echo $! > /run/taking`);
    const bound = () => a.sh('ss -Hltun src 127.0.0.9').trim().split('\n').filter(Boolean);
    t.after(() => a.sh('kill $(cat /run/taking) 2>/dev/null || true'));
    await until(() => bound().length === 1, 'the other socket');
    await a.dataplane.change({ put: [listener] });
    assert.equal(bound().length, 2);
    assert.equal(a.sh(asking('tcp', '127.0.0.9', 5300)).trim(), 'listener hello');
    assert.deepEqual(await a.dataplane.repair(), { steps: [] });
    a.sh('kill $(cat /run/taking)');
    await until(() => bound().length === 1, 'the end of the other socket');
    assert.deepEqual(await a.dataplane.repair(), { steps: ['add host socket udp 127.0.0.9 5300'] });
    assert.equal(a.sh(asking('udp', '127.0.0.9', 5300)).trim(), 'listener hello');
    await a.kill();
    assert.deepEqual(await a.set([...full, listener]), { steps: [] });
    await a.dataplane.change({ remove: [keyOf(listener)] });
    assert.deepEqual(bound(), []);
    assert.equal(held().length, 4);
  });

  test('what opens or takes away an address for names is put right', async () => {
    a.in(network.namespace, `ip addr del ${nameServerAddresses[4]}/32 dev br0`);
    await until(
      () => a.in(network.namespace, 'ip -br addr show br0').includes(nameServerAddresses[4]),
      'the address',
      15_000,
    );
    a.sh(`ip -n ${here} route del ${nameServerAddresses[4]}`);
    const { steps } = await a.dataplane.repair();
    assert.deepEqual(steps, [`add ${here} route ${nameServerAddresses[4]}/32 {"device":"eth0"}`]);
    assert.equal(ask(here, 'udp', nameServerAddresses[4]), `${network.id} hello`);
  });
});
