import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { etcdCommand } from '../../src/lab/etcd.ts';
import { type Lab, type LabHost, type LabOptions, openLab } from '../../src/lab/lab.ts';

/** Why nobody can have a lab here, or false. */
export const skip = process.getuid?.() !== 0 && 'a lab needs root';

/** One lab for all tests of a file, one after the other: what an earlier one made is there for the later. */
export function testInLab(title: string, options: Partial<LabOptions>, tests: (steps: Steps) => void): void {
  test(title, { skip }, async (t) => {
    const name = `e2e-${process.pid}`;
    const lab = await openLab({ name, hosts: 2, underlay: 4, mtu: 1500, tied: true, store: 'etcd', ...options });
    t.after(() => lab.close());
    const steps: { name: string; step: Step }[] = [];
    tests((name, step) => steps.push({ name, step }));
    for (const { name, step } of steps) await t.test(name, (context) => step(lab, context));
  });
}

export type Step = (lab: Lab, t: TestContext) => Promise<void>;
export type Steps = (name: string, step: Step) => void;

/** What a command of ours prints, without the last newline. */
export async function skein(host: LabHost, ...words: readonly string[]): Promise<string> {
  return (await host.exec(['skein', ...words])).stdout.trimEnd();
}

/** A container that does nothing but be there. @returns its id */
export function idle(host: LabHost, name: string, ...flags: readonly string[]): Promise<string> {
  return skein(host, 'run', '-d', '--name', name, ...flags, '--', 'sleep', 'infinity');
}

/** What a command in a container prints. */
export function inside(host: LabHost, container: string, ...command: readonly string[]): Promise<string> {
  return skein(host, 'exec', container, ...command);
}

/** Answers on port 7000 over TCP and UDP, from within a container whose root is the host's. */
const answerer = `
require('net').createServer((socket) => socket.on('error', () => {}).end('hello over tcp')).listen(7000, '::');
const udp = require('dgram').createSocket('udp6');
udp.on('message', (_, peer) => udp.send('hello over udp', peer.port, peer.address)).bind(7000);
`;

export async function serve(host: LabHost, container: string): Promise<void> {
  await skein(host, 'exec', '-d', container, process.execPath, '-e', answerer);
}

/** What `serve` answers, or the empty text. */
export async function ask(host: LabHost, container: string, address: string, protocol: 'tcp' | 'udp'): Promise<string> {
  const asking = `exec 3<>/dev/${protocol}/${address}/7000; echo >&3; timeout 2 head -c 14 <&3`;
  return (await host.attempt(['skein', 'exec', container, 'bash', '-c', asking])).stdout;
}

/** Whether one echo comes back. */
export async function pings(host: LabHost, container: string, address: string): Promise<boolean> {
  const ping = ['ping', '-c', '1', '-W', '2', address];
  return (await host.attempt(['skein', 'exec', container, ...ping])).code === 0;
}

/** @returns after how many milliseconds it held, for tests that wait longer than what is promised: they tell */
export async function until(what: string, holds: () => Promise<boolean>, milliseconds = 10_000): Promise<number> {
  const began = Date.now();
  while (!(await holds())) {
    assert.ok(Date.now() < began + milliseconds, `${what}: not within ${milliseconds} ms`);
    await sleep(20);
  }
  return Date.now() - began;
}

export interface InspectedNetwork {
  readonly Id: string;
  readonly IPAM: { readonly Config: readonly { readonly Subnet: string; readonly Gateway: string }[] };
  readonly Containers: Readonly<
    Record<string, { readonly Name: string; readonly IPv4Address: string; readonly Kind?: string }>
  >;
  readonly Options: Readonly<Record<string, string>>;
}

export async function inspectNetwork(host: LabHost, name: string): Promise<InspectedNetwork> {
  const [network]: readonly InspectedNetwork[] = JSON.parse(await skein(host, 'network', 'inspect', name));
  return network ?? assert.fail(`network inspect ${name} printed none`);
}

/** Files that stand for namespaces of ours. */
export async function namespaces(host: LabHost): Promise<readonly string[]> {
  const { stdout } = await host.exec(['sh', '-c', 'ls /run/skein/netns 2>/dev/null || true']);
  return stdout.split('\n').filter((name) => name !== '');
}

/** The lab's etcd has a PID namespace of its own. */
export async function stopStore({ underlay }: Lab): Promise<void> {
  const script = 'pid=$(pidof etcd); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.02; done';
  await underlay.exec(['sh', '-euc', script]);
}

export function startStore({ underlay, store }: Lab): void {
  const command = etcdCommand({ dataDir: '/var/lib/etcd-of-the-lab', listen: store.slice('etcd://'.length) });
  underlay.spawn(command, { stdio: 'ignore', detached: true }).unref();
}
