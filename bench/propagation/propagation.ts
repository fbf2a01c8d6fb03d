import { openLab } from '../../src/lab/lab.ts';
import type { Bench } from '../bench.ts';
import { holding } from '../bounds.ts';
import { createNetwork, openCaller } from '../caller.ts';
import { percentile, round } from '../report.ts';
import { echo, talk } from '../talk.ts';

const attaches = 140;
const perRound = 20;
const network = 'bench';
const bounds = { 'propagation_ms.p50': 30, 'propagation_ms.p99': 100 } as const;

/** Told to, asks every millisecond until it is answered; says when that was, by the clock that all processes share. */
const asker = `
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', () => { console.log(String(process.hrtime.bigint())); process.exit(); });
socket.bind(() => console.log('ready'));
process.stdin.once('data', () => {
  const ask = () => socket.send('?', 7000, process.argv[1], () => {});
  ask();
  setInterval(ask, 1);
});
`;

/**
 * Three hosts on an etcd of one member. A namespace is attached on the first; from the API's answer on, it asks a
 * namespace on the third, which can answer only when its host knows the new one.
 */
export const propagation: Bench = async ({ scope, say }) => {
  const lab = await openLab({ name: 'bench-propagation', hosts: 3, underlay: 4, mtu: 1500, tied: true, store: 'etcd' });
  scope.defer(() => lab.close());
  const [near, far] = [lab.host('h1'), lab.host('h3')];
  await createNetwork(near, network);
  const there = await openCaller(far, { namespaces: 1, network, connections: 1, exit: false });
  scope.defer(() => there.close());
  const here = await openCaller(near, { namespaces: perRound, network, connections: 1, exit: false });
  scope.defer(() => here.close());
  const address = await there.attach(0);
  const echoing = talk(far, 0, echo, []);
  scope.defer(() => void echoing.child.kill());
  await echoing.line();

  say(`${attaches} attaches on the first host, each answered from the third`);
  const times: number[] = [];
  for (let i = 0; i < attaches; i++) {
    const n = i % perRound;
    const asking = talk(near, n, asker, [address]);
    await asking.line();
    await here.attach(n);
    const answered = process.hrtime.bigint();
    asking.child.stdin?.write('\n');
    times.push(Number(BigInt(await asking.line()) - answered) / 1e6);
    await here.detach(n);
  }
  const figures = {
    propagation_ms: {
      p50: round(percentile(times, 50)),
      p99: round(percentile(times, 99)),
      max: round(Math.max(...times)),
    },
  };
  const { p50, p99, max } = figures.propagation_ms;
  return {
    table: [
      ['from', 'p50, ms', 'p99, ms', 'longest, ms'],
      ['answer of the API on h1 to answer of h3', `${p50}`, `${p99}`, `${max}`],
    ],
    notes: [
      `${attaches} attaches; the asker asks once a millisecond.`,
      ...holding({ 'propagation_ms.p50': p50, 'propagation_ms.p99': p99 }, bounds),
    ],
    figures,
  };
};
