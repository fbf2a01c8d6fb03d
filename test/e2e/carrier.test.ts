import assert from 'node:assert/strict';
import { openClient } from '../../src/adapters/api/client.ts';
import type { LabHost } from '../../src/lab/lab.ts';
import { idle, inside, pings, skein, testInLab, until } from './testbed.ts';

/** What a host says is wrong with its underlay. */
async function problems(host: LabHost): Promise<string> {
  return await skein(host, 'status', '--format', '{{range .paths}}{{.kind}}: {{.sentence}};{{end}}');
}

async function mtuOf(host: LabHost, container: string): Promise<number> {
  const shown = await inside(host, container, 'busybox', 'ip', 'link', 'show', 'eth0');
  return Number(/ mtu (\d+) /.exec(shown)?.[1]);
}

/** Of a host, as another one knows it. */
async function known(host: LabHost, name: string): Promise<number> {
  const hosts = await openClient(host.socket).call('listHosts', {});
  return hosts.find((each) => each.name === name)?.mtu ?? 0;
}

testInLab('two hosts whose data interface changes under the running daemon', {}, (step) => {
  step('a smaller MTU is published, and the networks in use here follow', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', '--subnet', '10.0.0.0/24', 'demo');
    await skein(h1, 'network', 'create', '--subnet', '10.0.1.0/24', 'elsewhere');
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    const asked = ['-o', 'com.docker.network.driver.mtu=1440'];
    await skein(h1, 'network', 'create', ...asked, '--subnet', '10.0.2.0/24', 'asked');
    await idle(h2, 'test3', '--network', 'asked');
    await until('h1 reaches h2', () => pings(h1, 'test1', '10.0.0.3'));
    assert.equal(await mtuOf(h1, 'test1'), 1450);
    await h2.exec(['ip', 'link', 'set', 'eth0', 'mtu', '1400']);
    for (const [host, container] of [
      [h1, 'test1'],
      [h2, 'test2'],
    ] as const) {
      await until(`${container} has it`, async () => (await mtuOf(host, container)) === 1350);
    }
    await until('h1 knows', async () => (await known(h1, 'h2')) === 1400);
    // What was asked for is not lowered, but told.
    const unfit = /network asked does not fit this host: an MTU of 1440 bytes is too large: .* carries 1400 bytes/;
    await until('h2 tells', async () => unfit.test(await problems(h2)));
    assert.match(await skein(h2, 'network', 'inspect', 'asked', '--format', '{{.Problems}}'), unfit);
    assert.equal(await mtuOf(h2, 'test3'), 1440);
    const whole = ['ping', '-c1', '-W1', '-M', 'do', '-s', '1322', '10.0.0.3'];
    await until('a whole packet passes', async () => {
      return (await h1.attempt(['skein', 'exec', 'test1', ...whole])).code === 0;
    });
    const other: readonly { readonly Options: Readonly<Record<string, string>> }[] = JSON.parse(
      await skein(h1, 'network', 'inspect', 'elsewhere'),
    );
    assert.equal(other[0]?.Options['com.docker.network.driver.mtu'] ?? '1450', '1450');
  });

  step('a larger MTU is published too, and lowers nothing', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    // What did not fit is in nobody's use here meanwhile, and is looked at again when it is.
    await skein(h2, 'stop', '-t', '0', 'test3');
    await h2.exec(['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
    await until('h1 knows', async () => (await known(h1, 'h2')) === 1500);
    await skein(h2, 'start', 'test3');
    assert.equal(await mtuOf(h2, 'test2'), 1350);
    // With the new figure: both ways are probed anew, and are right.
    for (const host of [h1, h2]) await until(`${host.name} finds all right`, async () => (await problems(host)) === '');
  });

  step('the MTU of a route to another host counts like that of an interface', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const route = ['route', 'add', `${h2.address}/32`, 'dev', 'eth0', 'mtu', 'lock', '1300'];
    await h1.exec(['ip', ...route]);
    // It is looked at with each probe: here with the first one after a start.
    await h1.daemon.kill('SIGTERM');
    await h1.daemon.start();
    await until('h2 knows', async () => (await known(h2, 'h1')) === 1300);
    await until('the network has less', async () => (await mtuOf(h2, 'test2')) === 1250);
    for (const host of [h1, h2]) {
      const unfit = async () => (await problems(host)).replace(/mtu: network asked does not fit [^;]*;[^;]*;/, '');
      await until(`${host.name} finds all else right`, async () => (await unfit()) === '');
    }
    await h1.exec(['ip', 'route', 'del', `${h2.address}/32`, 'dev', 'eth0']);
    await h1.daemon.kill('SIGTERM');
    await h1.daemon.start();
    await until('h2 knows', async () => (await known(h2, 'h1')) === 1500);
  });

  step('an interface that is down is told with what to do, and all works again when it is up', async (lab, t) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await h2.exec(['ip', 'link', 'set', 'eth0', 'down']);
    const sentence = /carrier: interface eth0, which has the data address [\d.]+, is down: ip link set eth0 up/;
    await until('h2 says so', async () => sentence.test(await problems(h2)));
    const said = (await h2.attempt(['skein', 'doctor'])).stdout.match(/interface eth0, which has .* is down/g);
    assert.equal(said?.length, 1);
    await h2.exec(['ip', 'link', 'set', 'eth0', 'up']);
    await until('h1 reaches h2', () => pings(h1, 'test1', '10.0.0.3'));
    const took = await until('h2 finds all right', async () => (await problems(h2)) === '', 30_000);
    t.diagnostic(`all right after ${took} ms`);
  });

  step('a data address that is gone is told, and its return', async (lab, t) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await h2.exec(['ip', 'address', 'del', `${h2.address}/24`, 'dev', 'eth0']);
    const sentence = new RegExp(`carrier: no interface has the data address ${h2.address} any more, which was on eth0`);
    await until('h2 says so', async () => sentence.test(await problems(h2)));
    await h2.exec(['ip', 'address', 'add', `${h2.address}/24`, 'dev', 'eth0']);
    await until('h1 reaches h2', () => pings(h1, 'test1', '10.0.0.3'));
    const took = await until('h2 finds all right', async () => (await problems(h2)) === '', 30_000);
    t.diagnostic(`all right after ${took} ms`);
  });
});
