import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { formatCliPage } from '../scripts/cli-page.ts';
import { commands, openProgram } from '../src/cli/commands.ts';
import { examples } from '../src/cli/examples.ts';
import { formatManual, leavesOf, nameOf } from '../src/cli/manual.ts';
import { namesOf, settingKeys } from '../src/model/settings.ts';

const root = join(import.meta.dirname, '..');
const read = (page: string) => readFileSync(join(root, page), 'utf8');
const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: root });

/** `[text](target)` outside of code. */
function linksOf(page: string): readonly string[] {
  const prose = read(page)
    .replaceAll(/^```[\s\S]*?^```$/gm, '')
    .replaceAll(/`[^`]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
}

/** As GitHub makes them of headings. */
function anchorsOf(page: string): readonly string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test('docs/cli.md is what the commands are', async () => {
  assert.equal(read('docs/cli.md'), await formatCliPage(), 'run: node scripts/write-docs.ts');
});

test('every command that help shows, and every setting, is on a page that the README points to', async () => {
  const linked = linksOf('README.md')
    .filter((target) => target.startsWith('docs/'))
    .map(read)
    .join('\n');
  const program = await openProgram(() => false);
  const help = program.helpInformation();
  for (const name of Object.keys(commands)) {
    assert.match(help, new RegExp(`^  ${name} `, 'm'));
    assert.match(linked, new RegExp(`^## skein ${name}\\b`, 'm'));
  }
  for (const key of settingKeys) {
    const { flag, variable, fileKey } = namesOf(key);
    assert.match(linked, new RegExp(`\`--${flag}[ \`]`));
    for (const name of [`\`${variable}\``, `\`${fileKey}\``]) assert.ok(linked.includes(name), name);
  }
});

test('every command has an example, and each is one that the command line takes', async () => {
  const program = await openProgram(() => true);
  const names = [program, ...leavesOf(program)].map(nameOf);
  assert.deepEqual(
    names.filter((name) => examples[name] === undefined),
    [],
    'give them examples in src/cli/examples.ts',
  );
  for (const name of names.slice(1)) {
    const example = examples[name] ?? '';
    assert.ok(example.startsWith(name), example);
    const words = (example.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replaceAll("'", ''));
    const command = leavesOf(program).find((leaf) => nameOf(leaf) === name) ?? assert.fail(name);
    const known = command.options.filter(({ hidden }) => !hidden).flatMap(({ long, short }) => [long, short]);
    const own = words.slice(name.split(' ').length, words.includes('--') ? words.indexOf('--') : undefined);
    for (const word of own.filter((one) => /^--?[a-z]/.test(one) && one !== '-it'))
      assert.ok(known.includes(word), example);
  }
});

test('the manual pages are pages of man without a complaint', async (t) => {
  const pages = formatManual(await openProgram(() => true));
  assert.ok(pages.has('skein.1') && pages.has('skein-network-create.1'));
  const folder = mkdtempSync(join(tmpdir(), 'skein-man-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const files = [...pages].map(([name, text]) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  });
  const found = ['mandoc', 'man'].find((program) => spawnSync(program, ['--version']).error === undefined);
  if (found === undefined) t.skip('neither mandoc nor man is on this machine');
  else {
    const args = found === 'man' ? ['--warnings', '-E', 'UTF-8', '-l'] : ['-Tlint', '-Wwarning'];
    const { stdout, stderr, status } = spawnSync(found, [...args, ...files], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
    assert.deepEqual({ stderr, status }, { stderr: '', status: 0 });
    if (found === 'man') assert.match(stdout, /skein\W+network\W+create/);
  }
});

test('links lead somewhere', () => {
  const broken = pages.flatMap((page) =>
    linksOf(page)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => {
        const [file = '', anchor] = target.split('#');
        const path = file === '' ? page : join(dirname(page), file);
        return !existsSync(join(root, path)) || (anchor !== undefined && !anchorsOf(path).includes(anchor));
      })
      .map((target) => `${page}: ${target}`),
  );
  assert.deepEqual(broken, []);
});

test('behaviours have one row each, in order', () => {
  const ids = [...read('docs/behaviours.md').matchAll(/^\| ([A-Z])(\d+) \|/gm)].map(([, letter = '', number]) => ({
    letter,
    number: Number(number),
  }));
  assert.ok(ids.length > 10);
  assert.deepEqual(
    ids.filter(
      ({ letter, number }, i) => i > 0 && letter === ids[i - 1]?.letter && number <= (ids[i - 1]?.number ?? 0),
    ),
    [],
  );
  const letters = ids.map(({ letter }) => letter).filter((letter, i) => letter !== ids[i - 1]?.letter);
  assert.equal(new Set(letters).size, letters.length);
});
