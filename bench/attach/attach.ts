import { setTimeout as sleep } from 'node:timers/promises';
import { openLab } from '../../src/lab/lab.ts';
import type { Bench } from '../bench.ts';
import { type Caller, createNetwork, openCaller } from '../caller.ts';
import { median, percentile, type Report, rotated, round } from '../report.ts';

const rounds = 7;
const namespaces = 200;
const atOnce = 100;
const network = 'bench';

const bounds = { 'attach_ms.p50': 10, 'attach_ms.p99': 40, 'attach_ms.own_p50': 3, parallel100_ms: 1500 } as const;

/** On etcd, and on the local store, where nothing has to be asked over the network. */
const stores = ['etcd', 'local'] as const;
type Store = (typeof stores)[number];

/** What one round took on one store, in milliseconds. */
interface Round {
  readonly attach: readonly number[];
  readonly detach: readonly number[];
  readonly parallel: number;
}

/**
 * What a container waits for: namespaces that exist are attached to a network through the daemon's API, from request to
 * answer over a connection that is kept open, with the way out of the host. A round on one store is followed by one on
 * the other.
 */
export const attach: Bench = async ({ scope, say }) => {
  const hosts = new Map<Store, Caller>();
  for (const store of stores) {
    const underlay = { underlay: 4, mtu: 1500, tied: true } as const;
    const local = { store: store === 'local' ? 'local:' : store };
    const lab = await openLab({ name: `bench-${store}`, hosts: 1, ...underlay, ...local });
    scope.defer(() => lab.close());
    const host = lab.host('h1');
    await createNetwork(host, network);
    const caller = await openCaller(host, { namespaces, network, connections: atOnce, exit: true });
    scope.defer(() => caller.close());
    hosts.set(store, caller);
  }
  say(`${rounds} rounds of ${namespaces} attaches and detaches one by one, and ${atOnce} attaches at once`);
  const measured: Record<Store, Round[]> = { etcd: [], local: [] };
  for (let n = 0; n < rounds; n++) {
    for (const store of rotated(stores, n)) {
      const caller = hosts.get(store);
      if (caller !== undefined) measured[store].push(await oneRound(caller));
    }
  }
  return report(measured);
};

async function oneRound(caller: Caller): Promise<Round> {
  const numbers = Array.from({ length: namespaces }, (_, i) => i);
  const attached: number[] = [];
  const detached: number[] = [];
  for (const n of numbers) attached.push(await timed(() => caller.attach(n)));
  for (const n of numbers) detached.push(await timed(() => caller.detach(n)));
  const some = numbers.slice(0, atOnce);
  const parallel = await timed(() => Promise.all(some.map((n) => caller.attach(n))));
  await Promise.all(some.map((n) => caller.detach(n)));
  // What the daemon and the kernel put off until later belongs to nobody's round.
  await sleep(500);
  return { attach: attached, detach: detached, parallel };
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

function report({ etcd, local }: Record<Store, readonly Round[]>): Report {
  const over = (all: readonly Round[], value: (one: Round) => number) => round(median(all.map(value)));
  const p = (list: 'attach' | 'detach', percent: number) => (one: Round) => percentile(one[list], percent);
  const figures = {
    attach_ms: {
      p50: over(etcd, p('attach', 50)),
      p99: over(etcd, p('attach', 99)),
      own_p50: over(local, p('attach', 50)),
    },
    detach_ms: { p50: over(etcd, p('detach', 50)), p99: over(etcd, p('detach', 99)) },
    parallel100_ms: over(etcd, ({ parallel }) => parallel),
  };
  const row = (store: Store, all: readonly Round[]) => [
    store,
    ...(['attach', 'detach'] as const).flatMap((list) => [50, 99].map((percent) => `${over(all, p(list, percent))}`)),
    `${over(all, ({ parallel }) => parallel)}`,
  ];
  const values = {
    'attach_ms.p50': figures.attach_ms.p50,
    'attach_ms.p99': figures.attach_ms.p99,
    'attach_ms.own_p50': figures.attach_ms.own_p50,
    parallel100_ms: figures.parallel100_ms,
  };
  return {
    table: [
      ['store', 'attach p50, ms', 'p99', 'detach p50, ms', 'p99', `${atOnce} attaches at once, ms`],
      row('etcd', etcd),
      row('local', local),
    ],
    notes: [
      `Medians of ${rounds} rounds; a percentile is that of its round.`,
      'own_p50 is what an attach takes without waiting for etcd: the same on the local store, its writes to disk included.',
      ...Object.entries(bounds).map(([key, most]) => {
        const value = values[key as keyof typeof bounds];
        return `${key}: ${value}; at most ${most}: ${value <= most ? 'held' : 'MISSED'}`;
      }),
    ],
    figures,
  };
}
