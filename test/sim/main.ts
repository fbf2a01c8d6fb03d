/**
 * Runs the simulation of a cluster.
 *
 *   npm run sim -- --seeds N [--from SEED]   so many runs; the last line counts them; ends with 1 when one went wrong
 *   npm run sim -- --seed SEED [--trace]     one run again, with all that happens
 *   npm run sim -- --hosts N                 figures of a cluster of N hosts with 100 endpoints each
 *
 * `--hosts` with `--seeds` or `--seed` makes the clusters of the runs so large.
 */
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { endpointOf } from './figures.ts';
import { large } from './large.ts';
import { runSeed } from './scenario.ts';
import { realSeal } from './seals.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    hosts: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});

if (values.hosts !== undefined && values.seeds === undefined && values.seed === undefined)
  figures(Number(values.hosts));
else await runs(Number(values.seed ?? values.from), values.seed === undefined ? Number(values.seeds ?? 100) : 1);

async function runs(first: number, count: number): Promise<void> {
  const trace = values.trace ? { trace: (line: string) => console.log(line) } : {};
  const hosts = values.hosts === undefined ? {} : { hosts: Number(values.hosts) };
  let wrong = 0;
  let slowest = 0;
  for (let seed = first; seed < first + count; seed += 1) {
    const outcome = await runSeed({ seed, ...trace, ...hosts });
    slowest = Math.max(slowest, outcome.healed ?? 0);
    if (outcome.violations.length === 0) continue;
    wrong += 1;
    console.log(`seed ${seed} (${outcome.hosts} hosts):\n  ${outcome.violations.slice(0, 8).join('\n  ')}`);
  }
  console.log(`${count} runs, ${wrong} went wrong, one view at the latest ${slowest} ms after the last fault`);
  process.exitCode = wrong === 0 ? 0 : 1;
}

function figures(hosts: number): void {
  const seal = realSeal('', () => undefined);
  const text = 'about as long as what is signed of a sheet'.repeat(5);
  const signature = seal.sign(text);
  const update = Array.from({ length: 100 }, (_, n) => [`endpoint/${n}`, endpointOf('0'.repeat(32), n)]);
  const { together, visible, idle, memory } = large(1, hosts, 100);
  const rows = {
    'all have their links and see each other': together === undefined ? 'never' : `${together} ms after the last start`,
    'a change is seen by all who live': `p50 ${visible.p50.toFixed(0)} ms, p99 ${visible.p99.toFixed(0)} ms of ${visible.count}`,
    'idle traffic of a host': `${idle.toFixed(0)} bytes/s, sent and received`,
    'memory of a host': `${(memory / 1e6).toFixed(1)} MB in the simulation`,
    'signing, checking': `${perCall(() => seal.sign(text)).toFixed(0)} µs, ${perCall(() => seal.verify(seal.key, text, signature)).toFixed(0)} µs here`,
    'reading and writing an update of 100 endpoints': `${perCall(() => JSON.parse(JSON.stringify(update))).toFixed(0)} µs here`,
  };
  for (const [what, figure] of Object.entries(rows)) console.log(`${what}: ${figure}`);
}

/** Microseconds. */
function perCall(call: () => unknown): number {
  const start = performance.now();
  const times = 200;
  for (let n = 0; n < times; n += 1) call();
  return ((performance.now() - start) * 1_000) / times;
}
