import { setTimeout as sleep } from 'node:timers/promises';
import { type LabHost, openLab } from '../../src/lab/lab.ts';
import type { Bench } from '../bench.ts';
import { holding } from '../bounds.ts';
import { createNetwork, namespaceOf, openCaller } from '../caller.ts';
import { buildPackage } from '../package.ts';
import { median, round } from '../report.ts';

const endpoints = 1000;
const rounds = 7;
const network = 'bench';
/** After it has put rules right the daemon rests for up to 8 s, so as to fight with nobody over them; milliseconds. */
const rest = 9_000;
const bounds = { adopt_ms: 2000, lost: 0, flush_ms: 3000 } as const;

/**
 * The built package on a host with 1000 endpoints. Its daemon is killed and started again while one of them pings another host
 * at 1 ms; then the rules of the host and of the network's namespace are flushed.
 */
export const repair: Bench = async ({ scope, say }) => {
  const built = await buildPackage(say);
  const lab = await openLab({
    name: 'bench-repair',
    hosts: 2,
    underlay: 4,
    mtu: 1500,
    tied: true,
    store: 'etcd',
    daemons: false,
  });
  scope.defer(() => lab.close());
  const [full, other] = [lab.host('h1'), lab.host('h2')];
  await Promise.all([full, other].map((host) => built.launch(host)));
  await createNetwork(full, network);
  const there = await openCaller(other, { namespaces: 1, network, connections: 1, exit: false });
  scope.defer(() => there.close());
  const address = await there.attach(0);
  say(`attaching ${endpoints} namespaces`);
  const here = await openCaller(full, { namespaces: endpoints, network, connections: 20, exit: true });
  scope.defer(() => here.close());
  for (let n = 0; n < endpoints; n += 20) await Promise.all(Array.from({ length: 20 }, (_, i) => here.attach(n + i)));

  say(`${rounds} restarts`);
  const adopted: number[] = [];
  let lost = 0;
  for (let i = 0; i < rounds; i++) {
    const train = ['ping', '-q', '-i', '0.001', '-c', '4000', '-W', '2', address];
    const pinging = full.attempt(['ip', 'netns', 'exec', namespaceOf(0), ...train]);
    await full.daemon.kill('SIGKILL');
    const start = performance.now();
    await built.launch(full);
    adopted.push(performance.now() - start);
    const { stdout } = await pinging;
    const counted = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
    if (!counted) throw new Error(`ping: ${stdout}`);
    lost += Number(counted[1]) - Number(counted[2]);
  }

  say(`${rounds} times all rules flushed`);
  const flushed: number[] = [];
  const whole = await rules(full);
  for (let i = 0; i < rounds; i++) {
    await sleep(rest);
    await full.exec(['sh', '-euc', `${everywhere('nft flush ruleset')}`]);
    const start = performance.now();
    let last = start;
    // A look takes time itself, and counts from when it began: what it saw was there then at the latest.
    for (;;) {
      const began = performance.now();
      if ((await rules(full)) === whole) {
        last = began;
        break;
      }
      if (began - start > 60_000) throw new Error('the rules are not whole 60 s after they were flushed');
    }
    flushed.push(last - start);
  }

  const figures = { adopt_ms: round(median(adopted)), lost, flush_ms: round(median(flushed)) };
  return {
    table: [
      [`with ${endpoints} endpoints`, 'measured', 'at most'],
      [
        'daemon killed, from its start until it has taken up everything, ms',
        `${figures.adopt_ms}`,
        `${bounds.adopt_ms}`,
      ],
      ['packets lost meanwhile', `${lost}`, `${bounds.lost}`],
      ['all rules flushed, until all are there again, ms', `${figures.flush_ms}`, `${bounds.flush_ms}`],
    ],
    notes: [`Medians of ${rounds}; ${rounds * 4000} packets at 1 ms.`, ...holding(figures, bounds)],
    figures,
  };
};

/** In the host's namespace and in each of its networks'. */
function everywhere(command: string): string {
  return `${command}; for space in /run/skein/netns/*-*; do nsenter --net=$space ${command}; done`;
}

/** All rules, without what packets count. */
async function rules(host: LabHost): Promise<string> {
  const { stdout } = await host.exec(['sh', '-euc', `(${everywhere('nft -s list ruleset')}) | sort | sha256sum`]);
  return stdout.trim();
}
