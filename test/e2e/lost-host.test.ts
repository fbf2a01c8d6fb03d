import assert from 'node:assert/strict';
import { idle, inside, inspectNetwork, pings, skein, testInLab, until } from './testbed.ts';

testInLab('a host that is lost and comes back', {}, (step) => {
  step('O10: names of a lost host are free again, those of a live one are not', async (lab, t) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', 'demo');
    for (const name of ['test1', 'test2', 'test3']) await idle(h2, name, '--network', 'demo');
    const early = await h1.attempt(['skein', 'network', 'disconnect', '--force', 'demo', 'test2']);
    assert.match(early.stderr, /test2 is on host h2, which is alive: disconnect it from demo there/);
    await h2.daemon.kill('SIGKILL');
    const state = () => skein(h1, 'host', 'ls', '--format', '{{.Name}} {{.State}}');
    const took = await until('h2 is lost', async () => /h2 lost/.test(await state()), 45_000);
    t.diagnostic(`lost after ${took} ms`);
    await idle(h1, 'test1', '--network', 'demo');
  });

  step('O16: disconnect --force takes an endpoint of a lost host off: its name and address are free', async (lab) => {
    const h1 = lab.host('h1');
    await skein(h1, 'network', 'disconnect', '-f', 'demo', 'test2');
    await idle(h1, 'test2', '--network', 'demo', '--ip', '10.0.0.3');
    const { Containers } = await inspectNetwork(h1, 'demo');
    const held = Object.values(Containers).map(({ Name, IPv4Address }) => `${Name} ${IPv4Address}`);
    assert.deepEqual(held.sort(), ['test1 10.0.0.2/24', 'test1 10.0.0.5/24', 'test2 10.0.0.3/24', 'test3 10.0.0.4/24']);
  });

  step(
    'O10: when it is back, who came later has another name on every host, and gives way where its address is another’s',
    async (lab, t) => {
      const [h1, h2] = [lab.host('h1'), lab.host('h2')];
      await h2.daemon.start();
      const names = async (host = h1) =>
        Object.values((await inspectNetwork(host, 'demo')).Containers)
          .map(({ Name, IPv4Address }) => `${Name.replace(/-[0-9a-f]{12}$/, '-ID')} ${IPv4Address}`)
          .sort()
          .join(', ');
      const wanted = 'test1 10.0.0.5/24, test1-ID 10.0.0.2/24, test2 10.0.0.3/24, test3 10.0.0.4/24';
      for (const host of [h1, h2]) {
        const took = await until(wanted, async () => (await names(host)) === wanted, 15_000);
        t.diagnostic(`so on ${host.name} after ${took} ms`);
      }
      assert.ok(await pings(h1, 'test1', '10.0.0.2'));
      assert.doesNotMatch(await inside(h2, 'test2', 'ip', 'addr'), /10\.0\.0\.3/);
      assert.ok(await pings(h2, 'test3', '10.0.0.3'), 'the address leads to its new owner');
    },
  );

  step('O16: prune removes what nobody is on, on any host', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', '--label', 'keep', 'kept');
    await skein(h1, 'network', 'create', 'unused');
    assert.equal(await skein(h2, 'network', 'prune', '-f', '--filter', 'label!=keep'), 'Deleted Networks:\nunused');
    assert.equal(await skein(h1, 'network', 'ls', '-q', '--filter', 'name=unused'), '');
    assert.equal(await skein(h2, 'network', 'prune', '-f'), 'Deleted Networks:\nkept');
  });
});
