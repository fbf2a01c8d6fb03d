/**
 * Runs the checks and tests, and closes with one line that counts them all.
 *
 *   node scripts/test.ts all          checks, unit tests, then tests in labs one file after the other, but for the longest
 *   node scripts/test.ts check        checks and unit tests
 *   node scripts/test.ts all PART...  only files whose path contains one of the parts; no checks
 *
 * As root, what runs in labs is run a second time by nobody, who is root in a user namespace only; who is not root runs
 * all of it so.
 *
 * Each file is a process (group) of its own with a time-out, so that a test that hangs fails alone and is named.
 */
import { spawn } from 'node:child_process';
import { chownSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import type { Remark, Result } from './reporter.ts';
import { inUserNamespace, openNobody, refusal } from './rootless.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

const checks = {
  'types (tsc)': ['tsc', '-p', '.'],
  'format and lint (biome)': ['biome', 'check', '--error-on-warnings', '--no-errors-on-unmatched', '.'],
  'lint with types (oxlint)': ['oxlint', '--type-aware', '--deny-warnings', '.'],
  'nothing unused (knip)': ['knip', '--no-progress', '--treat-config-hints-as-errors'],
} as const;

const unitTests = [
  'src/**/*.test.ts',
  'test/*.test.ts',
  'test/sim/*.test.ts',
  'bench/**/*.test.ts',
  'native/**/*.test.ts',
];
const labTests = ['test/e2e/*.test.ts'];
/** That dies hundreds of deaths, once is enough; it counts and measures no time, so that other labs run beside it. */
const deaths = 'test/e2e/death.test.ts';
/**
 * The first builds in the clone, which is not nobody's; the second becomes nobody by itself; the third runs programs of
 * others that want to be root of the machine.
 */
const notNobodys = ['package', 'rootless', 'coexistence'].map((name) => `test/e2e/${name}.test.ts`).concat(deaths);
const isRoot = process.getuid?.() === 0;
const seconds = { check: 180, unit: 300, lab: 300, deaths: 900 } as const;

interface Ended {
  readonly code: number | null;
  readonly output: string;
  /** It was ended because it took too long. */
  readonly late: boolean;
}

/** Where and as whom the tests of a file run. */
interface Runner {
  readonly title: (file: string) => string;
  /** Theirs to write to. */
  readonly folder: string;
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly enter: (command: readonly string[]) => readonly string[];
}

const asWeAre: Runner = { title: (file) => file, folder: tmpdir(), enter: (command) => command };

await main(process.argv.slice(2));

async function main([what = 'all', ...parts]: readonly string[]): Promise<void> {
  if (what !== 'all' && what !== 'check') throw new Error(`unknown argument ${what}: all or check`);
  const wanted = (file: string) => parts.length === 0 || parts.some((part) => file.includes(part));
  const find = (patterns: readonly string[]) => globSync(patterns, { cwd: root }).filter(wanted).sort();
  const results: Result[] = [];
  const collect = (found: readonly Result[]) => {
    results.push(...found);
  };
  if (parts.length === 0)
    for (const name of Object.keys(checks) as (keyof typeof checks)[]) collect([await check(name)]);
  const here = isRoot ? asWeAre : asRootOfNamespace(collect);
  await side(find(unitTests), 2, async (file) => collect(await testFile(file, seconds.unit, here)));
  if (what === 'all') {
    const files = find(labTests);
    const dying = side(
      files.filter((file) => file === deaths),
      1,
      async (file) => collect(await testFile(file, seconds.deaths, here)),
    );
    await side(
      files.filter((file) => file !== deaths),
      1,
      async (file) => collect(await testFile(file, seconds.lab, here)),
    );
    if (isRoot)
      await asNobody(
        files.filter((file) => !notNobodys.includes(file)),
        collect,
      );
    await dying;
  }
  close(results);
}

type Collect = (found: readonly Result[]) => void;

/** Without user namespaces the tests themselves say what they miss. */
function asRootOfNamespace(collect: Collect): Runner {
  const reason = refusal();
  if (reason === undefined) return { ...asWeAre, enter: inUserNamespace };
  skipAll('what needs root', reason, collect);
  return asWeAre;
}

async function asNobody(files: readonly string[], collect: Collect): Promise<void> {
  if (files.length === 0) return;
  const nobody = openNobody();
  try {
    const reason = refusal(nobody.as);
    if (reason !== undefined) return skipAll('labs of nobody', reason, collect);
    const own = { TMPDIR: nobody.folder, HOME: nobody.folder, NODE_COMPILE_CACHE: `${nobody.folder}/compile` };
    const environment = ['env', ...Object.entries(own).map(([name, value]) => `${name}=${value}`)];
    const enter = (command: readonly string[]) => nobody.as([...environment, ...inUserNamespace(command)]);
    const { folder, owner } = nobody;
    const runner = { title: (file: string) => `as nobody: ${file}`, folder, owner, enter };
    await side(files, 1, async (file) => collect(await testFile(file, seconds.lab, runner)));
  } finally {
    nobody.close();
  }
}

function skipAll(name: string, why: string, collect: Collect): void {
  const reason = `NO USER NAMESPACES on this machine for who is not root: ${why}`;
  const result: Result = { name, outcome: 'skipped', reason };
  report(name, [result], 0, '');
  collect([result]);
}

/** Works through the items, so many side by side. */
async function side<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

async function check(name: keyof typeof checks): Promise<Result> {
  const started = performance.now();
  const { code, output, late } = await run(checks[name], seconds.check);
  const error = late ? `it took longer than ${seconds.check} s` : `${checks[name].join(' ')} found something`;
  const result: Result = code === 0 ? { name, outcome: 'passed' } : { name, outcome: 'failed', error };
  report(name, [result], performance.now() - started, output);
  return result;
}

async function testFile(
  file: string,
  limit: number,
  { title, folder, owner, enter }: Runner,
): Promise<readonly Result[]> {
  const started = performance.now();
  const name = title(file);
  const own = mkdtempSync(join(folder, 'skein-test-'));
  const events = join(own, 'events');
  if (owner) chownSync(own, owner.uid, owner.gid);
  const flags = ['--disable-warning=ExperimentalWarning', '--test-reporter=./scripts/reporter.ts'];
  const command = enter(['node', ...flags, `--test-reporter-destination=${events}`, file]);
  const { code, output, late } = await run(command, limit);
  const lines = readLines(events);
  const remarks = lines.filter((line) => 'remark' in line);
  const ended = lines.filter((line) => 'outcome' in line);
  const results: Result[] = ended.map((result) => ({ ...result, name: `${name}: ${result.name}` }));
  rmSync(own, { recursive: true });
  if (late) results.push({ name, outcome: 'failed', error: `it did not end within ${limit} s and was killed` });
  else if (code !== 0 && !results.some(({ outcome }) => outcome === 'failed'))
    results.push({ name, outcome: 'failed', error: `the file ended with exit code ${code}` });
  else if (results.length === 0) results.push({ name, outcome: 'failed', error: 'the file holds no test' });
  report(name, results, performance.now() - started, output, remarks);
  return results;
}

function readLines(path: string): readonly (Result | Remark)[] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n');
    return lines.slice(0, -1).map((line): Result | Remark => JSON.parse(line));
  } catch {
    return [];
  }
}

/** Runs a command in a process group of its own, and ends the whole group when it takes too long. */
function run([program = '', ...args]: readonly string[], limit: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let late = false;
    const add = (text: string) => {
      output += text;
    };
    child.stdout.setEncoding('utf8').on('data', add);
    child.stderr.setEncoding('utf8').on('data', add);
    const timer = setTimeout(() => {
      late = true;
      endGroup(child.pid);
    }, limit * 1000);
    child.once('error', reject);
    // Not 'close': something that outlives the test may hold its output open.
    child.once('exit', (code) => {
      clearTimeout(timer);
      setImmediate(() => resolve({ code, output, late }));
    });
  });
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}

/** One line for what went well, and what it said of itself; everything that is known of what did not. */
function report(
  title: string,
  results: readonly Result[],
  milliseconds: number,
  output: string,
  remarks: readonly Remark[] = [],
): void {
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  const mark = failed.length === 0 ? styleText('green', 'ok  ') : styleText('red', 'FAIL');
  console.log(`${mark} ${title} ${styleText('dim', `${results.length} in ${(milliseconds / 1000).toFixed(1)} s`)}`);
  const said = Map.groupBy(remarks, ({ name }) => name);
  for (const [name, of] of said)
    console.log(styleText('dim', `     ${name}: ${of.map(({ remark }) => remark).join('; ')}`));
  for (const { name, error } of failed) console.log(`     ${styleText('red', name)}\n${indent(error ?? '')}`);
  if (failed.length > 0 && output.trim() !== '') console.log(indent(output.trim()));
  for (const { name, reason } of results.filter(({ outcome }) => outcome === 'skipped'))
    console.log(`     ${styleText('yellow', 'SKIPPED')} ${name}: ${reason ?? 'no reason given'}`);
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '       ');
}

function close(results: readonly Result[]): void {
  const count = (wanted: Result['outcome']) => results.filter(({ outcome }) => outcome === wanted);
  const [passed, failed, skipped] = [count('passed'), count('failed'), count('skipped')];
  if (failed.length > 0) console.log(`\nfailed:\n${failed.map(({ name }) => `  ${name}`).join('\n')}`);
  if (skipped.length > 0)
    console.log(
      `\nskipped:\n${skipped.map(({ name, reason }) => `  ${name}: ${reason ?? 'no reason given'}`).join('\n')}`,
    );
  console.log(`\n${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped`);
  process.exitCode = failed.length === 0 && passed.length > 0 ? 0 : 1;
}
