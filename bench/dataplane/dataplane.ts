import type { Bench } from '../bench.ts';
import { compile } from '../compile.ts';
import { median, type Report, rotated, round } from '../report.ts';
import { type LoadName, loadCpu, loadNames, loads, measure, type Path, serve, stayOffLoadCpu } from './load.ts';
import { openReference } from './reference.ts';
import { openSkein } from './skein.ts';

const rounds = 11;

const variants = ['raw', 'vxlan', 'docker_shaped', 'skein'] as const;
type Variant = (typeof variants)[number];

/** Skein's figure is at most so much of another one's; `aim` is what it should become. */
const bounds = [
  { load: 'tcp_rr_us', of: 'raw', most: 1.75, aim: 1.55 },
  { load: 'tcp_rr_us', of: 'docker_shaped', most: 0.86, aim: 0.8 },
  { load: 'tcp_crr_us', of: 'docker_shaped', most: 0.73, aim: 0.7 },
] as const;

type Medians = Readonly<Record<LoadName, Readonly<Record<Variant, number>>>>;

/**
 * What a packet between containers on two hosts costs: on the path that Skein's daemons build, against the references.
 * All four stand at once on one machine and take turns, each round beginning with another one.
 */
export const dataplane: Bench = async ({ scope, say }) => {
  await compile('load');
  await stayOffLoadCpu();
  const paths: Record<Variant, Path> = {
    raw: await openReference('raw'),
    vxlan: await openReference('vxlan'),
    docker_shaped: await openReference('docker_shaped'),
    skein: await openSkein({ scope, say }),
  };
  for (const { server } of Object.values(paths)) {
    const serving = await serve(server);
    scope.defer(() => void serving.kill('SIGKILL'));
  }
  say(`${rounds} rounds of ${loadNames.length} loads on ${variants.length} paths, both ends on CPU ${loadCpu}`);
  const samples = record(() => record((): number[] => [], variants), loadNames);
  for (let n = 0; n < rounds; n++) {
    for (const load of loadNames) {
      for (const variant of rotated(variants, n)) {
        samples[load][variant].push(await measure(load, paths[variant]));
      }
    }
  }
  return report(record((load) => record((variant) => round(median(samples[load][variant])), variants), loadNames));
};

function record<K extends string, V>(value: (key: K) => V, keys: readonly K[]): Record<K, V> {
  return Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<K, V>;
}

function report(figures: Medians): Report {
  const ratio = (load: LoadName, of: Variant) => figures[load].skein / figures[load][of];
  const rows = loadNames.map((load) => [
    loads[load].says,
    ...variants.map((variant) => `${figures[load][variant]}`),
    ...(['raw', 'docker_shaped'] as const).map((of) => ratio(load, of).toFixed(2)),
  ]);
  return {
    table: [['', ...variants, 'skein/raw', 'skein/docker_shaped'], ...rows],
    notes: [
      `Medians of ${rounds} rounds. A round trip is the median of its round.`,
      ...bounds.map(({ load, of, most, aim }) => {
        const value = ratio(load, of);
        const verdict = value <= aim ? 'held, and the aim too' : value <= most ? 'held' : 'MISSED';
        return `${load}: skein is ${value.toFixed(3)} x ${of}; at most ${most}, aim ${aim}: ${verdict}`;
      }),
    ],
    figures,
  };
}
