import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import type { Lab, LabHost } from '../../src/lab/lab.ts';
import { idle, inside, pings, skein, testInLab, until } from './testbed.ts';

/**
 * Other programs that have rules on a host, as they really are: each is started or loaded on h1 when everything runs, and
 * reloaded. `start` and `reload` are shell scripts; `outcome` shows that the program really is in force.
 */
interface Other {
  readonly needs: readonly string[];
  readonly start: string;
  readonly reload: string;
  readonly stop: string;
  /** How its user keeps containers from an address, `$to`, and lets them again; where that can be said with it. */
  readonly forbid?: readonly [forbid: string, allow: string];
  /** A shell script that succeeds when it is in force. */
  readonly inForce: string;
  /** What else is to hold beside it. */
  readonly also?: (h1: LabHost) => Promise<void>;
}

const bus = 'DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/dbus/system_bus_socket';
const startBus = `
  mkdir -p /run/dbus; test -S /run/dbus/system_bus_socket || dbus-daemon --system --fork --nopidfile`;

const others: Readonly<Record<string, Other>> = {
  firewalld: {
    needs: ['/usr/sbin/firewalld', '/usr/bin/dbus-daemon'],
    start: `${startBus}; ${bus} firewalld >/run/firewalld.log 2>&1; ${bus} timeout 20 sh -c 'until firewall-cmd --state 2>/dev/null; do sleep 0.1; done'`,
    reload: `${bus} firewall-cmd --reload`,
    stop: 'kill $(cat /run/firewalld.pid); while nft list table inet firewalld >/dev/null 2>&1; do sleep 0.1; done',
    inForce: 'nft list chain inet firewalld filter_INPUT | grep -q reject',
  },
  ufw: {
    needs: ['/usr/sbin/ufw', '/usr/sbin/iptables-nft'],
    start: 'ufw --force enable',
    reload: 'ufw reload',
    stop: 'ufw --force disable',
    inForce: 'iptables-nft -S INPUT | grep -qx -- "-P INPUT DROP"',
  },
  'nftables.service': {
    needs: ['/usr/sbin/nft'],
    start: `cat >/etc/nftables.conf <<'X'
flush ruleset
table inet filter {
  chain input { type filter hook input priority filter; policy drop; ct state established,related accept; iif lo accept; tcp dport 22 accept; }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain output { type filter hook output priority filter; policy drop; ct state established,related,new accept; }
}
X
nft -f /etc/nftables.conf`,
    reload: 'nft -f /etc/nftables.conf',
    stop: 'nft delete table inet filter',
    forbid: ['nft add rule inet filter forward ip daddr $to drop', 'nft -f /etc/nftables.conf'],
    inForce: 'nft list chain inet filter forward | grep -q "policy drop"',
  },
  'iptables (legacy)': {
    needs: ['/usr/sbin/iptables-legacy'],
    start:
      'iptables-legacy -P INPUT DROP; iptables-legacy -P FORWARD DROP; iptables-legacy -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    reload: 'iptables-legacy-save | grep -v skein >/run/saved; iptables-legacy -F; iptables-legacy-restore /run/saved',
    stop: 'iptables-legacy -P INPUT ACCEPT; iptables-legacy -P FORWARD ACCEPT; iptables-legacy -F',
    inForce: 'iptables-legacy -S INPUT | grep -qx -- "-P INPUT DROP"',
  },
  Docker: {
    needs: ['/usr/sbin/dockerd', '/usr/sbin/iptables-nft'],
    // It sets the policy of FORWARD only where it switches forwarding on, as on a host where it comes first.
    start: `sysctl -qw net.ipv4.ip_forward=0; mkdir -p /run/docker/plugins; mount -t tmpfs tmpfs /var/lib/docker 2>/dev/null || { mkdir -p /var/lib/docker; mount -t tmpfs tmpfs /var/lib/docker; }
      setsid dockerd --tls=false -H unix:///run/docker.sock --exec-root /run/docker --pidfile /run/docker.pid --storage-driver=vfs >/run/dockerd.log 2>&1 &
      timeout 30 sh -c 'until docker info >/dev/null 2>&1; do sleep 0.1; done'`,
    forbid: [
      'iptables-nft -I DOCKER-USER -i skein_gwbridge -j DROP',
      'iptables-nft -D DOCKER-USER -i skein_gwbridge -j DROP',
    ],
    reload: 'iptables-nft -F DOCKER-USER; kill -HUP $(cat /run/docker.pid)',
    stop: 'kill $(cat /run/docker.pid); while test -e /run/docker.pid; do sleep 0.1; done; iptables-nft -P FORWARD ACCEPT; iptables-nft -F; iptables-nft -X',
    inForce: 'iptables-nft -S FORWARD | grep -qx -- "-P FORWARD DROP"',
    also: answersContainersOfDocker,
  },
};

/**
 * Through the gateway bridge: asked by themselves, and by Docker's own server at 127.0.0.11, on a network that has just
 * been made.
 */
async function answersContainersOfDocker(h1: LabHost): Promise<void> {
  const files = '/usr/bin/getent /etc/nsswitch.conf $(ldd /usr/bin/getent | grep -o "/[^ ]*")';
  await sh(h1, `tar -chP ${files} | docker import - tools; docker network create own`);
  const found = async (flags: string, name: string) => {
    const run = `docker run --rm --dns 172.18.0.1 ${flags} tools getent ahostsv4 ${name}`;
    const { code, stdout } = await h1.attempt(['sh', '-euc', run]);
    return code === 2 ? 'nowhere' : stdout.split(/\s/, 1)[0];
  };
  for (const flags of ['', '--network own', '--network own --dns-opt use-vc']) {
    for (const name of ['test2', 'test2.demo.skein.local']) assert.equal(await found(flags, name), '10.0.0.3', flags);
  }
  assert.equal(await found('', 'nobody.skein.local'), 'nowhere');
}

async function outside(lab: Lab): Promise<string> {
  const show = "ip -4 -o addr show scope global | awk '{print $4}' | cut -d/ -f1 | head -1";
  return (await lab.outside.exec(['sh', '-c', show])).stdout.trim();
}

async function across(lab: Lab): Promise<boolean> {
  const [h1, h2] = [lab.host('h1'), lab.host('h2')];
  const both = await Promise.all([pings(h1, 'test1', '10.0.0.3'), pings(h2, 'test2', '10.0.0.2')]);
  return both.every(Boolean);
}

/** Whether a machine behind h1, which is on the network itself, reaches a container by way of it. */
async function through(lab: Lab): Promise<boolean> {
  const ping = ['ip', 'netns', 'exec', 'behind', 'ping', '-c', '1', '-W', '2', '10.0.0.3'];
  return (await lab.host('h1').attempt(ping)).code === 0;
}

/** Containers on both hosts reach each other and the outside, and are reached by way of a host. */
async function connected(lab: Lab): Promise<boolean> {
  return (await across(lab)) && (await pings(lab.host('h1'), 'test1', await outside(lab))) && (await through(lab));
}

async function sh(host: LabHost, script: string): Promise<string> {
  return (await host.exec(['sh', '-euc', script], { signal: AbortSignal.timeout(60_000) })).stdout;
}

testInLab('beside the packet rules and network settings of others', {}, (step) => {
  step('two hosts are connected', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', 'demo');
    await idle(h1, 'test1', '--network', 'demo');
    await idle(h2, 'test2', '--network', 'demo');
    await skein(h1, 'expose');
    await sh(
      h1,
      `ip netns add behind; ip link add b0 type veth peer name b1 netns behind; ip link set b0 up
       ip addr add 192.168.66.1/24 dev b0; ip -n behind addr add 192.168.66.2/24 dev b1
       ip -n behind link set b1 up; ip -n behind route add default via 192.168.66.1`,
    );
    await until('all are connected', () => connected(lab));
  });

  for (const [name, { needs, start, reload, stop, forbid, inForce, also }] of Object.entries(others)) {
    step(name, async (lab, t) => {
      const missing = needs.filter((file) => !existsSync(file));
      if (missing.length > 0) {
        t.skip(`this machine has no ${missing.join(', ')}`);
        return;
      }
      const h1 = lab.host('h1');
      const guests = 'nft list ruleset; iptables-legacy -S 2>/dev/null';
      await sh(h1, start);
      await sh(h1, inForce);
      const began = await until(`traffic beside ${name}`, () => connected(lab), 30_000);
      t.diagnostic(`traffic beside it after ${began} ms`);
      assert.match(await inside(h1, 'test1', 'ip', 'route'), /^default/);

      await sh(h1, reload);
      await sh(h1, inForce);
      const reloaded = await until(`traffic after a reload of ${name}`, () => connected(lab), 30_000);
      t.diagnostic(`traffic after its reload after ${reloaded} ms`);

      // What the user says with it comes before ours, and stays so.
      if (forbid !== undefined) {
        const to = await outside(lab);
        const [no, yes] = forbid.map((script) => script.replace('$to', to));
        await sh(h1, no ?? '');
        await until('nothing gets out', async () => !(await pings(h1, 'test1', to)), 30_000);
        assert.ok(await across(lab));
        await sh(h1, yes ?? '');
        await until(`traffic beside ${name} again`, () => connected(lab), 30_000);
      }

      // A daemon that comes later finds them there.
      await h1.daemon.kill('SIGKILL');
      await h1.exec(['skein', 'launch', '--detach', '--dns-listen', 'gateway']);
      assert.ok(await connected(lab));
      await also?.(h1);

      await sh(h1, stop);
      await until(`traffic after the end of ${name}`, () => connected(lab), 30_000);
      await until(
        'nothing of ours is left in chains of others',
        async () => !/comment "?skein/.test(await sh(h1, guests)),
        30_000,
      );
    });
  }

  step('NetworkManager', async (lab, t) => {
    const missing = ['/usr/sbin/NetworkManager', '/usr/bin/nmcli', '/usr/bin/dbus-daemon'].filter(
      (file) => !existsSync(file),
    );
    if (missing.length > 0) {
      t.skip(`this machine has no ${missing.join(', ')}`);
      return;
    }
    const h1 = lab.host('h1');
    // Where it can write in /sys it waits for udev, which no lab has.
    await sh(
      h1,
      `mount -o remount,bind,ro /sys; ip link add theirs type veth peer name others; ${startBus}; NetworkManager`,
    );
    const stateOf = async (device: string) =>
      (await sh(h1, `nmcli -t -f DEVICE,STATE device | grep -m1 -- '^${device}:' || true`)).trim().split(':')[1];
    const exit = (await sh(h1, 'ip -br link show master skein_gwbridge | grep -o "^veth[0-9a-f]*"')).trim();
    await until(
      'it manages other devices',
      async () => !['unmanaged', undefined].includes(await stateOf('theirs')),
      20_000,
    );
    await until('it leaves ours alone', async () => (await stateOf(exit)) === 'unmanaged');
    assert.equal(await stateOf('skein_gwbridge'), 'unmanaged');
    assert.equal(await stateOf((await sh(h1, 'ls /sys/class/net | grep ^skein-')).trim()), 'unmanaged');
    await sh(h1, `nmcli general reload; ip link set ${exit} down; ip link set ${exit} up`);
    await until('traffic', () => connected(lab));
    await sh(h1, 'kill $(cat /run/NetworkManager/NetworkManager.pid); ip link del theirs');
  });
});
