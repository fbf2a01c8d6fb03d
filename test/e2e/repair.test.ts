import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabHost } from '../../src/lab/lab.ts';
import { idle, pings, skein, testInLab, until } from './testbed.ts';

/** What hands can do to a host, by what they take away; `$net` is the network's namespace, `$box` the container's. */
const damages: Readonly<Record<string, string>> = {
  'all rules of the host': 'nft flush ruleset',
  "all rules of the network's namespace": 'ip netns exec $net nft flush ruleset',
  'the vxlan device': 'ip -n $net link del vxlan0',
  'the bridge': 'ip -n $net link del br0',
  'the port': 'ip -n $net link del veth0',
  "the container's interface": 'ip -n $box link del eth0',
  "the container's interface, set down": 'ip -n $box link set eth0 down',
  'the gateway bridge': 'ip link del skein_gwbridge',
  "the gateway bridge's port": 'ip link del $(ip -br link show type veth | grep -o "^veth[0-9a-f]*" | head -1)',
  'the way out': 'ip -n $box link del eth1',
  'an FDB entry':
    'ip netns exec $net bridge fdb del $(ip netns exec $net bridge fdb show dev vxlan0 | grep dst | cut -d" " -f1) dev vxlan0',
  'a neighbour entry': 'ip -n $net neigh del 10.0.0.3 dev vxlan0',
  "the container's address": 'ip -n $box addr del 10.0.0.2/24 dev eth0',
  'the gateway address': 'ip -n $net addr del 10.0.0.1/24 dev br0',
  'the connected route of the container': 'ip -n $box route del 10.0.0.0/24',
  'the default route of the container': 'ip -n $box route del default',
  "the pin of the network's namespace": 'umount -l /run/skein/netns/$net',
  "the pin of the container's namespace": 'umount -l /run/skein/netns/$box; rm /run/skein/netns/$box',
  'every pin': 'for f in /run/skein/netns/*; do umount -l $f; rm $f; done; rm -f /run/netns/*',
  forwarding: 'sysctl -qw net.ipv4.ip_forward=0',
  'a setting of the bridge': 'ip netns exec $net sysctl -qw net.bridge.bridge-nf-call-iptables=1',
};

/** Milliseconds within which all is put right. */
const promised = 10_000;

testInLab('what hands take away', {}, (step) => {
  step('two hosts are connected', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', 'demo');
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    await until('they reach each other', () => pings(h1, 'test1', '10.0.0.3'));
    // Link-local addresses and their routes come a second or two after the links.
    await until('nothing of the kernel changes any more', async () => {
      const before = await kernelOf(h1);
      await sleep(1_500);
      return (await kernelOf(h1)) === before;
    });
  });

  for (const [what, script] of Object.entries(damages)) {
    step(what, async (lab, t) => {
      const h1 = lab.host('h1');
      const whole = await kernelOf(h1);
      const logged = (await logOf(h1)).length;
      await h1.exec([
        'sh',
        '-euc',
        `cd /run/skein/netns; net=$(ls | grep -- -) box=$(ls | grep -v -- -); cd /; ${script}`,
      ]);
      const took = await until('it is put right', async () => (await kernelOf(h1)) === whole, 3 * promised);
      assert.ok(await pings(h1, 'test1', '10.0.0.3'));
      assert.ok(await pings(h1, 'test1', lab.store.replace(/^etcd:\/\/(.*):\d+$/, '$1')));
      const said = (await logOf(h1)).slice(logged).filter(({ level }) => level === 'warn');
      const sentences = said.flatMap(({ found }) => (found === undefined ? [] : [found]));
      assert.ok(sentences.length > 0 && sentences.length < 6, sentences.join('\n'));
      t.diagnostic(`put right after ${took} ms, lines in the log: ${sentences.length}`);
    });
  }
});

async function logOf(host: LabHost): Promise<readonly { readonly level: string; readonly found?: string }[]> {
  const { stdout } = await host.exec(['cat', '/var/lib/skein/daemon.log']);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** What the daemon made, by what stays the same when it is made anew. */
async function kernelOf(host: LabHost): Promise<string> {
  const script = `
    cd /run/skein/netns 2>/dev/null && for name in *; do
      echo "== $name"
      nsenter --net=$name sh -c 'ip -br link; ip -o addr show scope global | cut -d" " -f2-; ip route; ip -6 route; ip neigh show nud permanent; bridge fdb
        nft list ruleset; sysctl net.bridge net.ipv6.conf.default net.ipv4.ip_forward
        tc filter show dev vxlan0 ingress' 2>/dev/null
    done
    echo "== host"; ip -br link; ip -br addr; ip route; nft list ruleset; sysctl net.ipv4.ip_forward; ls /run/netns`;
  const { stdout } = await host.attempt(['sh', '-c', script]);
  return stdout
    .replaceAll(/@(if\d+|\w+)/g, '')
    .replaceAll(/fe80::\S+|\bvalid_lft.*|rule hit.*|ref \d+|handle \S+|ifindex \d+/g, '')
    .split('\n')
    .map((line) =>
      line
        .replace(/ (REACHABLE|STALE|DELAY|PROBE)\b/, '')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    )
    .filter((line) => !/index \d+|filter parent|33:33:|01:00:5e/.test(line))
    .toSorted()
    .join('\n');
}
