import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

type Rule = (file: string) => boolean;

const all: Rule = () => true;
/** A folder's contract is the file named after it (`dataplane/dataplane.ts`), or a file right under `state/`. */
const contract: Rule = (file) => basename(file, '.ts') === basename(dirname(file)) || dirname(file) === 'state';
/** What people do to a mesh: between the API and who runs it stands no controller. */
const membership: Rule = (file) => file === 'state/mesh/membership.ts';
const client: Rule = (file) => file === 'adapters/api/client.ts';

/** What each floor may import besides itself. Anything not listed is forbidden. */
const floors: Record<string, Record<string, Rule>> = {
  lib: {},
  model: { lib: all },
  kernel: { lib: all },
  dataplane: { lib: all, model: all, kernel: all },
  dns: { lib: all, model: all },
  state: { lib: all, model: all },
  controllers: { lib: all, model: all, state: contract, dataplane: contract, dns: contract },
  adapters: { lib: all, model: all, controllers: contract, state: membership },
  daemon: {
    ...{ lib: all, model: all, kernel: all, dataplane: all, dns: all },
    ...{ state: all, controllers: all, adapters: all },
  },
  lab: { lib: all, model: all, adapters: client },
  cli: { lib: all, model: all, lab: all, adapters: client },
};

/** A real etcd to test against, and what tests are made of. */
const forTests: Rule = (file) => isTest(file) || file === 'lab/etcd.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const src = join(root, 'src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const sources = new Map(files.map((file) => [file, readFileSync(join(src, file), 'utf8')]));
const edges = [...sources].flatMap(([from, text]) =>
  [...text.matchAll(/\b(?:from|import) '([^']+)'/g)].map(([, path = '']) => ({
    from,
    to: path.startsWith('.') ? join(dirname(from), path) : path,
  })),
);

function floorOf(file: string): string {
  return file.split('/', 1)[0] ?? '';
}

/** Tests, suites of contracts, and what tests are made of. */
function isTest(file: string): boolean {
  return /\.(test|contract|testing)\.ts$/.test(file) || /^dataplane\/(testbed[\w-]*|sample)\.ts$/.test(file);
}

test('every file stands on a floor', () => {
  assert.deepEqual(
    files.filter((file) => !(floorOf(file) in floors)),
    [],
  );
});

test('a floor imports only what it may', () => {
  const wrong = edges.filter(({ from, to }) => {
    if (!to.endsWith('.ts') || floorOf(to) === floorOf(from)) return false;
    if (isTest(from) && forTests(to)) return false;
    return !floors[floorOf(from)]?.[floorOf(to)]?.(to);
  });
  assert.deepEqual(wrong, []);
});

test('code that ships imports no test code', () => {
  const testing = (to: string) => isTest(to) || to === 'node:test' || to === 'fast-check';
  assert.deepEqual(
    edges.filter(({ from, to }) => !isTest(from) && testing(to)),
    [],
  );
});

test('lib touches no file, process or network', () => {
  const outside = /^node:(fs|net|http|https|http2|tls|dgram|dns|child_process|worker_threads)(\/|$)/;
  // Pure text functions of node:net judge addresses.
  const pure = (from: string) =>
    /import \{ (isIP|isIPv4|isIPv6)(, (isIP|isIPv4|isIPv6))* \} from 'node:net'/.test(sources.get(from) ?? '');
  const wrong = edges.filter(({ from, to }) => {
    if (floorOf(from) !== 'lib' || isTest(from) || !outside.test(to)) return false;
    return !(to === 'node:net' && pure(from));
  });
  assert.deepEqual(wrong, []);
});

test('one file alone calls the kernel and C libraries', () => {
  const callers = edges.filter(({ to }) => to === 'koffi').map(({ from }) => from);
  assert.deepEqual(
    callers.filter((file) => file !== 'kernel/syscall.ts'),
    [],
  );
});

test('what is imported is seen at once, except by the command line and the daemon', () => {
  const lazy = [...sources].filter(([, text]) => /\bimport\(/.test(text)).map(([file]) => file);
  assert.deepEqual(
    lazy.filter((file) => !['cli', 'daemon'].includes(floorOf(file)) && !isTest(file)),
    [],
  );
});

test('file names say what they hold', () => {
  const vague = /(^|\/)(utils?|helpers?|common|misc|types|index)\.ts$/;
  assert.deepEqual(
    files.filter((file) => vague.test(file)),
    [],
  );
});

test('the repository stands alone', () => {
  const elsewhere = new RegExp(['\\.\\.', 'shared\\b'].join('/'));
  const tracked = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  const texts = tracked.split('\0').filter((file) => file !== '' && file !== 'package-lock.json');
  assert.deepEqual(
    texts.filter((file) => elsewhere.test(read(join(root, file)))),
    [],
  );
});

/** What other people delete while we read is no text. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
