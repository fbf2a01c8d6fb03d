import assert from 'node:assert/strict';
import { idle, inside, inspectNetwork, namespaces, pings, skein, testInLab, until } from './testbed.ts';

testInLab('attaching what nobody started here', {}, (step) => {
  step('a namespace gets the addresses that it asks for, and is reached from the other host', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', '--ipv6', '--subnet', '10.9.0.0/24', '--subnet', 'fd00:9::/64', 'demo');
    await idle(h2, 'there', '--network', 'demo');
    await h1.exec(['ip', 'netns', 'add', 'foreign']);
    const words = ['--name', 'box', '--mac-address', '02:42:00:00:00:99', '10.9.0.99', 'fd00:9::99'];
    const attached = await skein(h1, 'attach', '--network', 'demo', ...words, '/run/netns/foreign');
    assert.equal(attached, '10.9.0.99/24 fd00:9::99/64');
    assert.ok(await pings(h2, 'there', '10.9.0.99'));
    assert.ok(await pings(h2, 'there', 'fd00:9::99'));
    const link = await h1.exec(['ip', '-n', 'foreign', '-o', 'link', 'show', 'eth0']);
    assert.match(link.stdout, /02:42:00:00:00:99/);
    const names = Object.values((await inspectNetwork(h2, 'demo')).Containers).map(({ Name }) => Name);
    assert.deepEqual(names.sort(), ['box', 'there']);
  });

  step('a pid is resolved once: its end, and whoever has its number then, change nothing', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const script =
      'unshare -n sleep 60 </dev/null >/dev/null 2>&1 & echo $!; until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do :; done';
    const pid = (await h1.exec(['sh', '-c', script])).stdout.trim();
    const address = (await skein(h1, 'attach', '--network', 'demo', pid)).split('/')[0] ?? '';
    assert.ok(await pings(h2, 'there', address));
    const path = `/proc/${pid}/ns/net`;
    assert.match((await h1.attempt(['skein', 'attach', '--network', 'demo', path])).stderr, /already|exists|is on/);
    await h1.exec(['kill', '-9', pid]);
    await until('the process is gone', async () => (await h1.attempt(['test', '-e', path])).code !== 0);
    assert.ok(await pings(h2, 'there', address));
    assert.match(
      (await h1.attempt(['skein', 'detach', '--network', 'demo', pid])).stderr,
      /there is no network namespace/,
    );
    const sandboxes = (await namespaces(h1)).filter((name) => /^[0-9a-f]{12}$/.test(name));
    assert.equal(sandboxes.length, 2);
    // Also by where it is pinned; the other one goes by its own path.
    await skein(h1, 'detach', '--network', 'demo', '/run/netns/foreign');
    const [left] = (await namespaces(h1)).filter((name) => /^[0-9a-f]{12}$/.test(name));
    await skein(h1, 'detach', '--network', 'demo', `/run/skein/netns/${left}`);
    assert.equal(await pings(h2, 'there', address), false);
  });

  step('detach gives everything back', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    assert.deepEqual(await namespaces(h1), []);
    assert.doesNotMatch((await h1.exec(['ip', '-n', 'foreign', '-o', 'link'])).stdout, /eth0/);
    assert.equal(Object.keys((await inspectNetwork(h2, 'demo')).Containers).length, 1);
    const again = await h1.attempt(['skein', 'detach', '--network', 'demo', '/run/netns/foreign']);
    assert.deepEqual(again, { code: 1, stdout: '', stderr: 'skein: the namespace is not attached to any network\n' });
  });

  step('a container is attached by its name, not by its pid', async (lab) => {
    const h1 = lab.host('h1');
    await idle(h1, 'ours');
    assert.match(await skein(h1, 'attach', '--network', 'demo', '10.9.0.77', 'ours'), /^10\.9\.0\.77\/24 fd00:9::/);
    assert.ok(await pings(h1, 'ours', '10.9.0.1'));
    assert.match(await inside(h1, 'ours', 'ip', '-4', '-o', 'addr'), /10\.9\.0\.77\/24/);
    const pid = await skein(h1, 'inspect', '-f', '{{.State.Pid}}', 'ours');
    for (const verb of ['attach', 'detach']) {
      const { stderr } = await h1.attempt(['skein', verb, '--network', 'demo', pid]);
      assert.equal(stderr, 'skein: this namespace is one of our own: give the name of its container\n');
    }
    await skein(h1, 'detach', '--network', 'demo', 'ours');
    assert.doesNotMatch(await inside(h1, 'ours', 'ip', '-4', '-o', 'addr'), /10\.9\.0\.77/);
    await skein(h1, 'rm', '-f', 'ours');
  });
});
