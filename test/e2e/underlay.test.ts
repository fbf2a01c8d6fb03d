import assert from 'node:assert/strict';
import { ask, idle, inside, pings, serve, skein, testInLab, until } from './testbed.ts';

testInLab('two hosts with IPv6 alone between them', { underlay: 6 }, (step) => {
  step('O8, O9: both families inside, packets of the whole MTU, which is 1430', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', '--subnet', '10.0.0.0/24', '--subnet', 'fd00:1::/64', '--ipv6', 'demo');
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    assert.match(await inside(h1, 'test1', 'busybox', 'ip', 'link', 'show', 'eth0'), / mtu 1430 /);
    await serve(h2, 'test2');
    const addresses = /10\.0\.0\.3\/24[\s\S]*fd00:1::3\/64/;
    assert.match(await inside(h2, 'test2', 'ip', '-br', 'addr', 'show', 'eth0'), addresses);
    for (const address of ['10.0.0.3', 'fd00:1::3']) {
      await until(`${address} is answered`, async () => (await ask(h1, 'test1', address, 'tcp')) === 'hello over tcp');
      assert.equal(await ask(h1, 'test1', address, 'udp'), 'hello over udp');
    }
    assert.match(await inside(h1, 'test1', 'ping', '-c1', '-W5', '-M', 'do', '-s', '1402', '10.0.0.3'), / ttl=64 /);
    assert.match(await inside(h1, 'test1', 'ping', '-c1', '-W5', '-M', 'do', '-s', '1382', 'fd00:1::3'), / ttl=64 /);
    assert.ok(await pings(h1, 'test1', '2001:db8:7::7'), 'the outside');
  });
});

testInLab('two hosts with an MTU of 1400 between them', { mtu: 1400 }, (step) => {
  step('O8: the network has 50 less, and packets of that size pass', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', 'demo');
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    assert.match(await inside(h2, 'test2', 'busybox', 'ip', 'link', 'show', 'eth0'), / mtu 1350 /);
    await inside(h1, 'test1', 'ping', '-c1', '-W5', '-M', 'do', '-s', String(1350 - 28), '10.0.0.3');
  });
});
