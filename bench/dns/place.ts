import { closeSync, openSync } from 'node:fs';
import { openNamespaces } from '../../src/kernel/namespace.ts';
import { openSyscalls } from '../../src/kernel/syscall.ts';
import { run } from '../../src/lab/run.ts';
import { bindPair } from '../../test/bound-sockets.ts';

/** A network's namespace with two name servers' addresses on its bridge, and containers that reach both. */
export const servers = { skein: '169.254.53.53', dnsmasq: '169.254.53.54' } as const;
export const serverNamespace = '/run/netns/names';

export interface Container {
  readonly namespace: string;
  readonly address: string;
}

export async function openPlace(count: number): Promise<readonly Container[]> {
  await ip(['netns add names']);
  const bridge = ['link add br0 type bridge', 'link set br0 up', 'link set lo up', 'addr add 10.20.0.1/16 dev br0'];
  const own = Object.values(servers).map((address) => `addr add ${address}/32 dev br0`);
  await ip([...bridge, ...own], 'names');
  const containers: Container[] = [];
  for (let n = 0; n < count; n++) {
    const name = `c${n}`;
    const address = `10.20.1.${n + 1}`;
    await ip([`netns add ${name}`, `link add veth${n} netns names type veth peer name eth0 netns ${name}`]);
    await ip([`link set veth${n} master br0 up`], 'names');
    const routes = Object.values(servers).map((server) => `route add ${server}/32 dev eth0`);
    await ip(['link set lo up', `addr add ${address}/16 dev eth0`, 'link set eth0 up', ...routes], name);
    containers.push({ namespace: `/run/netns/${name}`, address });
  }
  return containers;
}

/** Skein's sockets, bound in the network's namespace. */
export function bindSockets(): { readonly udp: number; readonly tcp: number } {
  const sys = openSyscalls();
  const namespaces = openNamespaces(sys);
  const fd = openSync(serverNamespace, 'r');
  try {
    return namespaces.inside(fd, () => bindPair(sys, servers.skein, 53));
  } finally {
    closeSync(fd);
    namespaces.close();
  }
}

async function ip(lines: readonly string[], namespace?: string): Promise<void> {
  const inside = namespace === undefined ? [] : ['-n', namespace];
  await run(['ip', ...inside, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}
