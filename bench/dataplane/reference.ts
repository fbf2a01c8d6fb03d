import { run } from '../../src/lab/run.ts';
import type { Enter, Path } from './load.ts';

/**
 * The paths that Skein is held against, built with `ip`, `bridge` and `nft` in namespaces of their own. In each, two hosts
 * are joined by a veth.
 *
 *   raw            host to host: the limit
 *   vxlan          container to container over bridge and vxlan in a namespace of their own, entries static, no rule anywhere
 *   docker_shaped  the devices, flags and rules of a Docker overlay: vxlan that learns, br_netfilter on, the name server's
 *                  NAT in each container, and the hosts' nat and filter rules, so that connections are tracked on the way
 */
const references = {
  raw: undefined,
  vxlan: { vxlan: ['nolearning', 'proxy'], bridgeNetfilter: false, rules: false },
  docker_shaped: { vxlan: ['learning', 'proxy', 'l2miss', 'l3miss'], bridgeNetfilter: true, rules: true },
} as const satisfies Record<string, Overlay | undefined>;

interface Overlay {
  readonly vxlan: readonly string[];
  readonly bridgeNetfilter: boolean;
  readonly rules: boolean;
}

export async function openReference(name: keyof typeof references): Promise<Path> {
  const overlay = references[name];
  await openHosts(name);
  if (overlay === undefined) {
    return { client: into(`${name}-h0`), server: into(`${name}-h1`), address: hostAddress[1] };
  }
  for (const side of sides) await openOverlaySide(name, side, overlay);
  return { client: into(`${name}-c0`), server: into(`${name}-c1`), address: containerAddress[1] };
}

const sides = [0, 1] as const;
type Side = (typeof sides)[number];

const hostAddress = ['10.9.0.1', '10.9.0.2'] as const;
const containerAddress = ['10.20.0.11', '10.20.0.12'] as const;
const containerMac = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const;

function other(side: Side): Side {
  return side === 0 ? 1 : 0;
}

/** Pinned where `ip netns` looks, in a mount namespace that ends with the bench. */
function into(namespace: string): Enter {
  return (command) => ['nsenter', `--net=/run/netns/${namespace}`, '--', ...command];
}

async function ip(line: string): Promise<void> {
  await run(['ip', ...line.split(' ')]);
}

async function inside(namespace: string, command: string, input = ''): Promise<void> {
  await run(into(namespace)(command.split(' ')), { input });
}

async function addNamespace(name: string): Promise<void> {
  await ip(`netns add ${name}`);
  await ip(`-n ${name} link set lo up`);
}

async function openHosts(name: string): Promise<void> {
  for (const side of sides) await addNamespace(`${name}-h${side}`);
  await ip(`link add u0 netns ${name}-h0 type veth peer name u0 netns ${name}-h1`);
  for (const side of sides) {
    const host = `${name}-h${side}`;
    await ip(`-n ${host} addr add ${hostAddress[side]}/24 dev u0`);
    await ip(`-n ${host} link set u0 up`);
    await inside(host, 'sysctl -qw net.ipv4.ip_forward=1');
  }
}

async function openOverlaySide(name: string, side: Side, { vxlan, bridgeNetfilter, rules }: Overlay): Promise<void> {
  const [host, network, container] = [`${name}-h${side}`, `${name}-o${side}`, `${name}-c${side}`];
  await addNamespace(network);
  await addNamespace(container);
  for (const namespace of [host, network]) await setBridgeNetfilter(namespace, bridgeNetfilter);
  await ip(`-n ${network} link add br0 type bridge`);
  await ip(`-n ${network} addr add 10.20.0.1/24 dev br0`);
  await ip(`-n ${network} link set br0 up`);
  await ip(`-n ${host} link add vxlan0 type vxlan id 256 dstport 4789 ${vxlan.join(' ')}`);
  await ip(`-n ${host} link set vxlan0 netns ${network}`);
  await ip(`-n ${network} link set vxlan0 mtu 1450 master br0 up`);
  await ip(`link add veth0 netns ${network} type veth peer name eth0 netns ${container}`);
  await ip(`-n ${container} link set eth0 address ${containerMac[side]} mtu 1450`);
  await ip(`-n ${container} addr add ${containerAddress[side]}/24 dev eth0`);
  await ip(`-n ${container} link set eth0 up`);
  await ip(`-n ${network} link set veth0 mtu 1450 master br0 up`);
  const peer = other(side);
  await ip(`-n ${network} neigh add ${containerAddress[peer]} lladdr ${containerMac[peer]} dev vxlan0 nud permanent`);
  await inside(network, `bridge fdb add ${containerMac[peer]} dev vxlan0 dst ${hostAddress[peer]} self`);
  if (!rules) return;
  await inside(container, 'nft -f -', dockerContainerRules);
  await inside(host, 'nft -f -', dockerHostRules);
}

/** Where br_netfilter is not in the kernel, there is nothing to set: no frame of a bridge passes the rules of IP. */
async function setBridgeNetfilter(namespace: string, on: boolean): Promise<void> {
  const names = ['iptables', 'ip6tables', 'arptables'];
  const settings = names.map((name) => `net.bridge.bridge-nf-call-${name}=${on ? 1 : 0}`);
  await inside(namespace, `sysctl -eqw ${settings.join(' ')}`);
}

/** The name server at 127.0.0.11 is reached by NAT. */
const dockerContainerRules = `
table ip names {
  chain output {
    type nat hook output priority -100
    ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:40053
  }
  chain postrouting {
    type nat hook postrouting priority 100
    ip saddr 127.0.0.11 udp sport 40053 snat to :53
  }
}`;

/** Published ports, the way out, and established connections. */
const dockerHostRules = `
table ip nat {
  chain published {
    return
  }
  chain prerouting {
    type nat hook prerouting priority -100
    fib daddr type local jump published
  }
  chain output {
    type nat hook output priority -100
    ip daddr != 127.0.0.0/8 fib daddr type local jump published
  }
  chain postrouting {
    type nat hook postrouting priority 100
    ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
  }
}
table ip filter {
  chain forward {
    type filter hook forward priority 0
    ct state established,related accept
  }
  chain input {
    type filter hook input priority 0
    ct state established,related accept
  }
}`;
