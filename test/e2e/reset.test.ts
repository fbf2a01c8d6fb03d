import assert from 'node:assert/strict';
import type { Lab, LabHost } from '../../src/lab/lab.ts';
import { idle, pings, skein, testInLab, until } from './testbed.ts';

/** All that a host's kernel and disk have, but what changes by itself. */
async function traces(host: LabHost): Promise<string> {
  const script = `
    ip -br link; ip -br addr; ip route; ip -6 route; bridge fdb; nft list ruleset; ip netns
    sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding; sysctl -a 2>/dev/null | grep accept_ra
    grep skein /proc/self/mountinfo; pidof skein-holder; ss -Hltun
    find /run/skein /var/lib/skein /run/netns /etc/NetworkManager -mindepth 1 2>/dev/null`;
  return (await host.attempt(['sh', '-c', script])).stdout.replaceAll(/ (REACHABLE|STALE|DELAY|PROBE)\b/g, '');
}

/** Keys of the store, that of the cluster and counters left out. */
async function keys(lab: Lab): Promise<readonly string[]> {
  const list = ['etcdctl', '--endpoints', lab.store.replace('etcd://', 'http://'), 'get', '--prefix', '/skein/'];
  const { stdout } = await lab.underlay.exec(list);
  const lines = stdout.split('\n');
  return lines.filter(
    (line, i) =>
      i % 2 === 0 &&
      line !== '' &&
      !/^\/skein\/(cluster|subnets)$/.test(line) &&
      !/"released"/.test(lines[i + 1] ?? ''),
  );
}

testInLab('a host that is reset', { daemons: false }, (step) => {
  let before: string;

  step('keeps its containers unless it is forced', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    before = await traces(h1);
    await Promise.all([h1, h2].map((host) => host.daemon.start()));
    await skein(h1, 'network', 'create', 'demo', '--ipv6');
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    await skein(h1, 'expose');
    await skein(h1, 'dns', 'add', 'printer', '192.0.2.9');
    assert.ok(await pings(h2, 'test2', '10.0.0.4'));
    const refused = await h1.attempt(['skein', 'reset']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /containers run on this host .*--force/);
    assert.ok(await pings(h2, 'test2', '10.0.0.2'));
  });

  step('has nothing left in its kernel, on its disk and in the store, and others go on', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const { stdout } = await h1.exec(['skein', 'reset', '--force']);
    assert.match(stdout, /ended the daemon/);
    assert.match(stdout, /ended 1 container\n/);
    assert.match(stdout, /gave back 2 endpoints, \d names?, 4 addresses, 1 record\n/);
    assert.equal(await traces(h1), before);
    await until('the other host is alone', async () => (await skein(h2, 'host', 'ls', '-q')).split('\n').length === 1);
    const left = await keys(lab);
    assert.equal(left.filter((key) => key.startsWith('/skein/hosts/')).length, 1, left.join('\n'));
    assert.equal(left.filter((key) => key.startsWith('/skein/records/')).length, 0, left.join('\n'));
    assert.equal(left.filter((key) => key.startsWith('/skein/endpoints/')).length, 1, left.join('\n'));
    assert.equal(left.filter((key) => /\/skein\/addresses\/.*10\.0\.0\./.test(key)).length, 1, left.join('\n'));
  });

  step('can be reset again, and can come back as a new host', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    assert.equal((await h1.exec(['skein', 'reset'])).stdout, '');
    const meanwhile = await h1.attempt(['sh', '-c', 'mkdir /run/skein; flock /run/skein skein reset']);
    assert.match(meanwhile.stderr, /another daemon .*runs in \/run\/skein/);
    await h1.daemon.start();
    await idle(h1, 'again', '--network', 'demo');
    await until('it is reached', () => pings(h2, 'test2', '10.0.0.5'));
  });

  step('is clean after a crash too, also when what was pinned is gone', async (lab) => {
    const h1 = lab.host('h1');
    await skein(h1, 'expose');
    await h1.daemon.kill('SIGKILL');
    await h1.exec([
      'sh',
      '-c',
      'rm /run/skein/holder.sock; ip link del skein_gwbridge; for f in /run/skein/netns/*-*; do umount -l $f; rm $f; done',
    ]);
    await h1.exec(['skein', 'reset', '--force']);
    assert.equal(await traces(h1), before);
  });

  step('leaves forwarding on when it cannot see whether others need it', async (lab) => {
    const h1 = lab.host('h1');
    await h1.daemon.start();
    await idle(h1, 'forwarding', '--network', 'demo');
    const hidden =
      'mkdir -p /run/no-nft; ln -sf /bin/false /run/no-nft/nft; PATH=/run/no-nft:$PATH skein reset --force';
    const { stdout } = await h1.attempt(['sh', '-c', hidden]);
    assert.match(
      stdout,
      /^left net\.ipv4\.ip_forward as it is: .* could not be seen .*: sysctl -w net\.ipv4\.ip_forward=0$/m,
    );
    const sysctls = ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'];
    const { stdout: shown } = await h1.exec(['sysctl', '-n', ...sysctls]);
    assert.equal(shown, '1\n1\n');
    const undo = `sysctl -qw ${sysctls.map((name) => `${name}=0`).join(' ')}
      for f in /proc/sys/net/ipv6/conf/*/accept_ra; do test $(cat $f) != 2 || echo 1 >$f; done`;
    await h1.exec(['sh', '-euc', undo]);
    assert.equal(await traces(h1), before);
  });

  step('remembers what it owes a store that is away, and gives it back the next time', async (lab) => {
    const h1 = lab.host('h1');
    await h1.daemon.start();
    await idle(h1, 'third', '--network', 'demo');
    const id = await skein(h1, 'status', '-f', '{{.host.id}}');
    const hide = (what: string) => lab.underlay.exec(['nft', ...what.split(' ')]);
    await hide('add table inet hide');
    await hide('add chain inet hide in { type filter hook input priority 0; }');
    await hide(`add rule inet hide in ip saddr ${h1.address} tcp dport 2379 drop`);
    const others = 'table ip others { chain c { type nat hook postrouting priority 100; oifname eth0 masquerade; }\n}';
    await h1.exec(['nft', '-f', '-'], { input: others });
    assert.match((await h1.attempt(['skein', 'doctor'])).stdout, /ip_forward is 1 and was 0[\s\S]*reset leaves it so/);
    const { code, stderr, stdout } = await h1.attempt(['skein', 'reset', '--force']);
    assert.equal(code, 1);
    assert.match(stdout, /^left net\.ipv4\.ip_forward as it is: others need it \(.*table ip others\)$/m);
    const forwards = async () => (await h1.exec(['sysctl', '-n', 'net.ipv4.ip_forward'])).stdout.trim();
    assert.equal(await forwards(), '1');
    await h1.exec(['sh', '-c', 'nft delete table ip others; sysctl -qw net.ipv4.ip_forward=0']);
    assert.match(
      stderr,
      new RegExp(`cannot give back what host ${id.slice(0, 12)} holds in the store: .*${lab.store}`),
    );
    assert.match(stdout, /departures\.json: reset again once the store answers/);
    await hide('delete table inet hide');
    assert.ok((await keys(lab)).some((key) => key.includes(id)));
    await h1.exec(['skein', 'reset']);
    assert.ok(!(await keys(lab)).some((key) => key.includes(id)));
    assert.equal(await traces(h1), before);
  });

  step('puts aside what it cannot read, and is done with it', async (lab) => {
    const h1 = lab.host('h1');
    const shell = async (script: string) => await h1.attempt(['sh', '-c', script]);
    await shell(
      'mkdir -p /var/lib/skein; cd /var/lib/skein; echo "[{ \\"host" >departures.json; echo torn >journal.db',
    );
    const first = await h1.attempt(['skein', 'reset']);
    assert.equal(first.code, 1);
    assert.match(first.stderr, /cannot read what this host remembers: .*journal\.db/);
    assert.match(first.stderr, /cannot read what earlier resets could not give back: .*departures\.json/);
    const [, aside = ''] = /what could not be read is kept in (\S+): /.exec(first.stderr) ?? [];
    assert.equal((await shell(`cd ${aside} && cat departures.json journal.db`)).stdout, '[{ "host\ntorn\n');
    const again = await h1.exec(['skein', 'reset']);
    assert.match(again.stdout, /^removed \/var\/lib\/skein, but for unread-\S+\n$/);
    await shell(`rm -r ${aside} && rmdir /var/lib/skein`);
    assert.equal(await traces(h1), before);
  });
});
