/**
 * Runs the simulation of a cluster.
 *
 *   npm run sim -- --seeds N [--from SEED]   so many runs; the last line counts them; ends with 1 when one went wrong
 *   npm run sim -- --seed SEED --trace       one run again, with all that happens
 */
import { parseArgs } from 'node:util';
import { runSeed } from './scenario.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    hosts: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});

const trace = values.trace ? { trace: (line: string) => console.log(line) } : {};
const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
const hosts = values.hosts === undefined ? {} : { hosts: Number(values.hosts) };
let wrong = 0;
let slowest = 0;
for (let seed = first; seed < first + count; seed += 1) {
  const outcome = runSeed({ seed, ...trace, ...hosts });
  slowest = Math.max(slowest, outcome.healed ?? 0);
  if (outcome.violations.length === 0) continue;
  wrong += 1;
  console.log(`seed ${seed} (${outcome.hosts} hosts):\n  ${outcome.violations.slice(0, 8).join('\n  ')}`);
}
console.log(`${count} runs, ${wrong} went wrong, one view at the latest ${slowest} ms after the last fault`);
process.exitCode = wrong === 0 ? 0 : 1;
