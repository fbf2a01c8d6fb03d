import { setTimeout as sleep } from 'node:timers/promises';
import { type Lab, type LabHost, openLab } from '../../src/lab/lab.ts';
import type { Bench } from '../bench.ts';
import { holding } from '../bounds.ts';
import { createNetwork, openCaller } from '../caller.ts';
import { median, percentile, round } from '../report.ts';
import { echo, talk } from '../talk.ts';

const hosts = 5;
const attaches = 100;
const perRound = 20;
const deaths = 3;
const network = 'bench';
const bounds = { 'visible_ms.p50': 20, 'visible_ms.p99': 100, 'attach_ms.p50': 5, lost_ms: 3_000 } as const;

/** Told to, asks all of them every millisecond; says when the last one has answered, by the clock that all processes share. */
const asker = `
const socket = require('node:dgram').createSocket('udp4');
const silent = new Set(process.argv.slice(1));
socket.on('message', (_, { address }) => {
  silent.delete(address);
  if (silent.size > 0) return;
  console.log(String(process.hrtime.bigint()));
  process.exit();
});
socket.bind(() => console.log('ready'));
process.stdin.once('data', () => {
  const ask = () => {
    for (const address of silent) socket.send('?', 7000, address, () => {});
  };
  ask();
  setInterval(ask, 1);
});
`;

/**
 * Five hosts without a store. A namespace is attached on the first; from the API's answer on, it asks a namespace on each of
 * the others, which can answer only when its host knows the new one. Then daemons are killed, until all others say so.
 */
export const mesh: Bench = async ({ scope, say }) => {
  const lab = await openLab({ name: 'bench-mesh', hosts, underlay: 4, mtu: 1500, tied: true });
  scope.defer(() => lab.close());
  const [near, ...far] = lab.hosts;
  if (near === undefined) throw new Error('the lab has no hosts');
  await createNetwork(near, network);
  const addresses: string[] = [];
  for (const host of far) {
    const caller = await openCaller(host, { namespaces: 1, network, connections: 1, exit: false });
    scope.defer(() => caller.close());
    addresses.push(await caller.attach(0));
    const echoing = talk(host, 0, echo, []);
    scope.defer(() => void echoing.child.kill());
    await echoing.line();
  }
  const here = await openCaller(near, { namespaces: perRound, network, connections: 1, exit: false });
  scope.defer(() => here.close());

  say(`${attaches} attaches on the first of ${hosts} hosts, each answered from all others`);
  const visible: number[] = [];
  const attached: number[] = [];
  for (let i = 0; i < attaches; i++) {
    const n = i % perRound;
    const asking = talk(near, n, asker, addresses);
    await asking.line();
    const began = process.hrtime.bigint();
    await here.attach(n);
    const answered = process.hrtime.bigint();
    asking.child.stdin?.write('\n');
    attached.push(Number(answered - began) / 1e6);
    visible.push(Number(BigInt(await asking.line()) - answered) / 1e6);
    await here.detach(n);
  }
  say(`${deaths} daemons killed, one after the other`);
  const lost: number[] = [];
  for (let i = 0; i < deaths; i++) lost.push(await death(lab));

  const figures = {
    visible_ms: {
      p50: round(percentile(visible, 50)),
      p99: round(percentile(visible, 99)),
      max: round(Math.max(...visible)),
    },
    attach_ms: { p50: round(percentile(attached, 50)), p99: round(percentile(attached, 99)) },
    lost_ms: round(median(lost)),
  };
  const values = {
    'visible_ms.p50': figures.visible_ms.p50,
    'visible_ms.p99': figures.visible_ms.p99,
    'attach_ms.p50': figures.attach_ms.p50,
    lost_ms: figures.lost_ms,
  };
  return {
    table: [
      ['', 'p50, ms', 'p99, ms', 'longest, ms'],
      ['answer of the API to answers of all other hosts', ...Object.values(figures.visible_ms).map(String)],
      ['attach', `${figures.attach_ms.p50}`, `${figures.attach_ms.p99}`, `${round(Math.max(...attached))}`],
      [
        `a killed daemon until all others say lost (${deaths})`,
        `${figures.lost_ms}`,
        '',
        `${round(Math.max(...lost))}`,
      ],
    ],
    notes: [`${attaches} attaches; the asker asks once a millisecond.`, ...holding(values, bounds)],
    figures,
  };
};

/** Until all others take the last host for lost; it is back when this resolves. */
async function death(lab: Lab): Promise<number> {
  const last = lab.hosts.at(-1);
  const others = lab.hosts.slice(0, -1);
  if (last === undefined) throw new Error('the lab has no hosts');
  await last.daemon.kill('SIGKILL');
  const began = performance.now();
  await all(others, last, 'lost');
  const took = performance.now() - began;
  await last.daemon.start();
  await all(others, last, 'alive');
  return took;
}

async function all(hosts: readonly LabHost[], about: LabHost, state: 'alive' | 'lost'): Promise<void> {
  const end = performance.now() + 30_000;
  const says = new RegExp(`\\b${about.name} .* ${state} `);
  for (const host of hosts) {
    while (!says.test((await host.exec(['skein', 'host', 'ls'])).stdout)) {
      if (performance.now() > end)
        throw new Error(`${host.name} does not say within 30 s that ${about.name} is ${state}`);
      await sleep(10);
    }
  }
}
