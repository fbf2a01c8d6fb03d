import { openClient } from '../../src/adapters/api/client.ts';
import { type LabHost, openLab } from '../../src/lab/lab.ts';
import { run } from '../../src/lab/run.ts';
import type { Bench } from '../bench.ts';
import type { Enter, Path } from './load.ts';

const network = 'bench';
const data = ['10.9.0.1', '10.9.0.2'] as const;

/**
 * Skein's path: two hosts of a lab with a daemon each, on an etcd, and a namespace attached on each, with its way out. As
 * between the hosts of the references, the packets go over a veth from host to host and not over the lab's switch: that
 * is the daemons' data address.
 */
export async function openSkein({ scope, say }: Parameters<Bench>[0]): Promise<Path> {
  const lab = await openLab({
    name: 'bench-dataplane',
    hosts: 2,
    underlay: 4,
    mtu: 1500,
    tied: true,
    store: 'etcd',
    daemons: false,
  });
  scope.defer(() => lab.close());
  const [near, far] = [lab.host('h1'), lab.host('h2')];
  await run(['ip', 'link', 'add', 'u0', 'netns', `${near.pid}`, 'type', 'veth', 'peer', 'u0', 'netns', `${far.pid}`]);
  await launch(near, data[0]);
  await launch(far, data[1]);
  await openClient(near.socket).call('createNetwork', { body: { name: network } });
  await attach(near);
  const { addresses } = await attach(far);
  for (const host of [near, far]) say(await rulesOf(host));
  return { client: into(near), server: into(far), address: addresses[0]?.split('/')[0] ?? '' };
}

async function launch(host: LabHost, address: string): Promise<void> {
  await host.exec(['ip', 'address', 'add', `${address}/24`, 'dev', 'u0']);
  await host.exec(['ip', 'link', 'set', 'u0', 'up']);
  await host.exec(['skein', 'launch', '--detach', '--data-address', address]);
}

/** A namespace that is not Skein's, as an engine makes one. */
async function attach(host: LabHost) {
  await host.exec(['ip', 'netns', 'add', 'container']);
  const body = { network, path: '/run/netns/container', name: host.name, exit: true };
  return await openClient(host.socket).call('attach', { body });
}

function into(host: LabHost): Enter {
  return (command) => host.enter(['nsenter', '--net=/run/netns/container', '--', ...command]);
}

/** Everything that nftables does on the way: in the host's namespace, the network's, and the container's. */
async function rulesOf(host: LabHost): Promise<string> {
  const { stdout } = await host.exec(['ls', '/run/skein/netns']);
  const names = stdout.split('\n').filter((name) => name !== '');
  const lists = [`${host.name}, host`, ...names].map(async (name, i) => {
    const enter = i === 0 ? [] : ['nsenter', `--net=/run/skein/netns/${name}`, '--'];
    const rules = await host.exec([...enter, 'nft', 'list', 'ruleset']);
    return `--- rules in force: ${i === 0 ? name : `${host.name}, namespace ${name}`}\n${rules.stdout || '(none)\n'}`;
  });
  return (await Promise.all(lists)).join('');
}
