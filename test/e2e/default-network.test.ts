import assert from 'node:assert/strict';
import type { LabHost } from '../../src/lab/lab.ts';
import { ask, idle, inside, pings, serve, skein, testInLab, until } from './testbed.ts';

const addressOf = (host: LabHost, name: string) =>
  skein(host, 'inspect', '-f', '{{.NetworkSettings.Networks.skein.IPAddress}}', name);

/** Says what it hears, whoever it is for. */
const listener = `
const socket = require('dgram').createSocket('udp4');
socket.on('message', (bytes) => console.log('heard ' + bytes)).bind(7001, () => {
  socket.addMembership('224.0.0.200', process.argv[1]);
  console.log('listening');
});
`;
const caller = `
const socket = require('dgram').createSocket('udp4');
socket.bind(0, process.argv[1], () => {
  socket.setBroadcast(true);
  socket.setMulticastInterface(process.argv[1]);
  socket.send('all', 7001, '255.255.255.255', () => socket.send('group', 7001, '224.0.0.200', () => socket.close()));
});
`;

testInLab('the default network', {}, (step) => {
  step('W4: who names no network is on it, on every host, and is found by name', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await Promise.all([idle(h1, 'plain1'), idle(h2, 'plain2')]);
    assert.deepEqual(
      await Promise.all([addressOf(h1, 'plain1'), addressOf(h2, 'plain2')]).then((all) => all.toSorted()),
      ['10.32.0.1', '10.32.0.2'],
    );
    assert.equal(await skein(h2, 'network', 'ls', '--format', '{{.Name}}', '-f', 'driver=overlay'), 'skein');
    await until('the name of the other', () => pings(h1, 'plain1', 'plain2'));
    assert.ok(await pings(h2, 'plain2', 'plain1.skein.local'));
    assert.doesNotMatch(await inside(h1, 'plain1', 'ip', 'route'), /10\.32\.\d+\.\d+ dev eth0 (?!.*scope link)/);
  });

  step('W4: by addresses that are asked for, all on one host listen on one port', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const run = (host: LabHost, name: string, ...words: readonly string[]) =>
      skein(host, 'run', '-d', ...words, '--name', name, '--', 'sleep', 'infinity');
    await run(h1, 'svc1', '10.0.1.1/24');
    await run(h1, 'svc2', '10.0.1.2/24');
    await run(h2, 'svc3', '10.0.1.3/24');
    await run(h2, 'other', '10.0.2.1/24');
    await run(h1, 'near', '10.0.2.2/24');
    await Promise.all([
      ...['svc1', 'svc2', 'near'].map((name) => serve(h1, name)),
      ...['svc3', 'other'].map((name) => serve(h2, name)),
    ]);
    for (const [address, protocol] of [
      ['10.0.1.1', 'tcp'],
      ['10.0.1.2', 'udp'],
    ] as const) {
      const answers = async () => /^hello/.test(await ask(h2, 'svc3', address, protocol));
      await until(`${address} over ${protocol}`, answers);
    }
    await until('svc3 from svc1', async () => /^hello/.test(await ask(h1, 'svc1', '10.0.1.3', 'tcp')));
    await until('other from near', async () => /^hello/.test(await ask(h1, 'near', '10.0.2.1', 'tcp')));
  });

  step('W4: subnets do not reach each other, also with routes of their own, on one host or two', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const route = async (host: LabHost, name: string, ...words: readonly string[]) => {
      const key = await skein(host, 'inspect', '-f', '{{.NetworkSettings.SandboxKey}}', name);
      await host.exec(['nsenter', `--net=${key}`, 'ip', 'route', 'add', ...words, 'dev', 'eth0']);
    };
    assert.equal(await pings(h1, 'svc1', '10.0.2.1'), false);
    for (const [host, name] of [
      [h1, 'svc1'],
      [h1, 'near'],
      [h2, 'other'],
    ] as const) {
      await route(host, name, name === 'svc1' ? '10.0.2.0/24' : '10.0.1.0/24');
    }
    const reaches = async (address: string, protocol: 'tcp' | 'udp') => {
      const asking = `exec 3<>/dev/${protocol}/${address}/7000; echo >&3; head -c 5 <&3`;
      return (await h1.attempt(['skein', 'exec', 'svc1', 'timeout', '1', 'bash', '-c', asking])).stdout;
    };
    const tries = ['10.0.2.1', '10.0.2.2'].flatMap((address) => [
      pings(h1, 'svc1', address),
      reaches(address, 'tcp'),
      reaches(address, 'udp'),
    ]);
    assert.deepEqual(await Promise.all(tries), [false, '', '', false, '', '']);
    assert.equal(await reaches('10.0.1.2', 'tcp'), 'hello');
    assert.equal(await pings(h1, 'plain1', '10.0.1.1'), false);
    assert.ok(await pings(h1, 'svc1', '10.0.1.3'));
  });

  step('W10: what is said to all on a host is heard in the own subnet and in no other', async (lab) => {
    const h1 = lab.host('h1');
    const listen = (address: string, name: string) =>
      skein(h1, 'run', '-d', `${address}/24`, '--name', name, '--', process.execPath, '-e', listener, '--', address);
    await Promise.all([listen('10.0.1.11', 'ear'), listen('10.0.2.11', 'far')]);
    const heard = async (name: string) => (await skein(h1, 'logs', name)).split('\n').toSorted().join(' ');
    const both = 'heard all heard group listening';
    for (const name of ['ear', 'far']) await until(name, async () => (await heard(name)) === 'listening');
    await inside(h1, 'svc1', process.execPath, '-e', caller, '--', '10.0.1.1');
    await until('ear', async () => (await heard('ear')) === both);
    assert.equal(await heard('far'), 'listening');
    await inside(h1, 'near', process.execPath, '-e', caller, '--', '10.0.2.2');
    await until('far', async () => (await heard('far')) === both);
    assert.equal(await heard('ear'), both);
  });

  step('W4, W10: it outlives its daemon, and the host itself joins a subnet of it', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await h1.daemon.kill('SIGKILL');
    assert.ok(await pings(h2, 'svc3', '10.0.1.1'));
    await h1.daemon.start();
    assert.ok(await pings(h2, 'svc3', '10.0.1.1'));
    assert.equal(await skein(h2, 'expose', '10.0.1.9/24'), '10.0.1.9');
    await until('the host', () => pings(h1, 'svc1', '10.0.1.9'));
    assert.equal(await pings(h1, 'near', '10.0.1.9'), false);
    assert.equal(await skein(h2, 'hide', '10.0.1.9'), '10.0.1.9');
    assert.equal(
      await skein(h1, 'attach', 'net:10.0.3.0/24', 'svc1').catch(() => 'is there already'),
      'is there already',
    );
    await skein(h1, 'detach', 'svc1');
    assert.equal(await skein(h1, 'attach', '10.0.3.1/24', 'svc1'), '10.0.3.1/24');
  });
});
