import assert from 'node:assert/strict';
import type { LabHost } from '../../src/lab/lab.ts';
import { idle, pings, skein, testInLab, until } from './testbed.ts';

/** Nothing while its daemon begins anew. */
async function alive(host: LabHost): Promise<string> {
  return (await host.attempt(['skein', 'host', 'ls', '-f', 'state=alive', '--format', '{{.Name}}'])).stdout.trimEnd();
}

const launch = (host: LabHost, ...words: readonly string[]) => skein(host, 'launch', '--detach', ...words);

/** Puts one rule before what comes in, and takes it away again. */
async function blocked(host: LabHost, rule: string, act: () => Promise<void>): Promise<void> {
  const chain = 'add table inet wall; add chain inet wall in { type filter hook input priority -300; }';
  await host.exec(['nft', `${chain}; add rule inet wall in ${rule}`]);
  try {
    await act();
  } finally {
    await host.exec(['nft', 'delete table inet wall']);
  }
}

testInLab('hosts join each other without a store', { hosts: 4, store: 'mesh:', daemons: false }, (step) => {
  step('by the line that the first of them prints, when it is launched', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const said = await launch(h1);
    const [, line = ''] = /^other hosts join with: skein launch (--token \S+ \S+)$/m.exec(said) ?? assert.fail(said);
    assert.match(await launch(h2, ...line.split(' ')), /\nit belongs to cluster [0-9a-f]{12}$/);
    await until('both are there', async () => (await alive(h2)) === 'h1\nh2');
    const { stdout } = await h2.exec(['sh', '-c', 'tr "\\0" " " </proc/$(cat /run/skein/skein.pid)/cmdline']);
    assert.match(stdout, /daemon\/main/);
    assert.doesNotMatch(stdout, /skein1/);
    await Promise.all([idle(h1, 'one'), idle(h2, 'two')]);
    await until('containers reach each other', () => pings(h1, 'one', 'two'));
  });

  step('by connect with a token, when they hold nothing yet, and are told what is blocked', async (lab) => {
    const [h1, h3] = [lab.host('h1'), lab.host('h3')];
    await launch(h3);
    const token = await skein(h1, 'token', 'show');
    const connect = ['skein', 'connect', '--token', token, h1.address];
    await blocked(h1, 'tcp dport 6783 drop', async () => {
      const began = Date.now();
      const { code, stderr } = await h3.attempt(connect);
      assert.equal(code, 1);
      assert.match(stderr, /TCP port 6783/);
      assert.ok(Date.now() - began < 5_000, `it took ${Date.now() - began} ms`);
    });
    assert.equal(await alive(h3), 'h3');
    await blocked(h1, 'udp dport 6783 drop', async () => {
      const { code, stdout, stderr } = await h3.attempt(connect);
      assert.equal(code, 1);
      assert.match(stdout, new RegExp(`^joined cluster .*\n${h1.address}:6783 is h1\n$`));
      assert.match(stderr, /UDP port 6783 does not come through/);
      assert.match(await skein(h3, 'status', 'connections'), /UDP port 6783 does not come through/);
    });
    await until('all three are there', async () => (await alive(h3)) === 'h1\nh2\nh3');
    await until('the port is open again', async () => !(await skein(h3, 'status', 'connections')).includes('UDP port'));
    assert.match(await skein(h3, 'status'), /^Mesh: +3 hosts, [12] links?, member, at /m);
  });

  step('a token that was replaced and a host that was removed are refused by name', async (lab) => {
    const [h1, h3, h4] = [lab.host('h1'), lab.host('h3'), lab.host('h4')];
    const old = await skein(h1, 'token', 'show');
    assert.notEqual(await skein(h1, 'token', 'rotate'), old);
    await launch(h4);
    const connect = (token: string) => h4.attempt(['skein', 'connect', '--token', token, h1.address]);
    const early = await connect(old);
    assert.equal(early.code, 1);
    assert.match(early.stderr, /has an old token, which was replaced/);
    await skein(h1, 'host', 'rm', '--force', 'h3');
    await until('it is gone', async () => (await alive(h1)) === 'h1\nh2');
    await until('it knows', async () => (await skein(h3, 'status', 'connections')).includes('was removed'));
    assert.equal((await connect(await skein(h1, 'token', 'show'))).code, 0);
    await until('the fourth is there', async () => (await alive(h1)) === 'h1\nh2\nh4');
  });

  step('a host that is reset hands on what it owned, the only admin that too', async (lab) => {
    const [h1, h2, h4] = [lab.host('h1'), lab.host('h2'), lab.host('h4')];
    await idle(h4, 'four');
    assert.match(await skein(h4, 'reset', '--force'), /^handed what this host owned on to host h[12]$/m);
    await until('it has left', async () => /h4 +member +left/.test(await skein(h2, 'status', 'peers')));
    assert.match(await skein(h1, 'reset', '--force'), /^handed what this host owned on to host h2$/m);
    await until('the last is alone', async () => (await alive(h2)) === 'h2');
    const owners = await skein(h2, 'status', 'ipam', '--format', '{{.Owner}}');
    assert.deepEqual(new Set(owners.split('\n')), new Set(['h2']));
    assert.match(await skein(h2, 'token', 'rotate'), /^skein1/);
    await idle(h2, 'one');
  });
});

testInLab(
  'hosts that have nothing but a token wait for each other',
  { hosts: 3, store: 'mesh:', daemons: false },
  (step) => {
    step('and are one cluster with one admin when they are connected, all at once', async (lab) => {
      const [h1, h2, h3] = [lab.host('h1'), lab.host('h2'), lab.host('h3')];
      const token = await skein(h1, 'token', 'new');
      const wait = async (host: LabHost) => {
        await host.exec(['sh', '-euc', `echo ${token} >/etc/skein/token`]);
        assert.match(
          await launch(host, '--token', '@/etc/skein/token'),
          /^this host waits for others with its token; /m,
        );
        assert.match(await skein(host, 'status'), /^Cluster: +none yet: .*: skein connect HOST$/m);
        const { stderr } = await host.attempt(['skein', 'network', 'ls']);
        assert.equal(stderr, 'skein: this host waits for others with its token: skein connect HOST\n');
      };
      await Promise.all([h1, h2, h3].map(wait));
      const connect = (from: LabHost, to: LabHost) => skein(from, 'connect', to.address);
      const [joined, other] = await Promise.all([connect(h2, h1), connect(h3, h2)]);
      assert.match(joined, new RegExp(`^joined cluster .*\n${h1.address}:6783 is h1$`));
      assert.equal(other.split('\n')[0], joined.split('\n')[0]);
      for (const host of [h1, h2, h3]) {
        await until('all are there', async () => (await alive(host)) === 'h1\nh2\nh3');
        const roles = await skein(host, 'status', 'peers', '--format', '{{.Role}}');
        assert.deepEqual(roles.split('\n').toSorted(), ['admin', 'member', 'member']);
      }
    });
  },
);
