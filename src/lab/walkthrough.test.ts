import assert from 'node:assert/strict';
import { test } from 'node:test';
import { disagreement, Ids, parseWalkthrough } from './walkthrough.ts';

const page = `# A title

Some text
that goes on.

> About the page.

\`\`\`console
h1# skein network create demo
3d430f3338a2c3496e9edeccc880f0a7affa06522b4249497ef6c4cd6571eaa9
h2# skein run \\
  -- true
\`\`\`

\`\`\`sh
not a block of commands
\`\`\`
`;

test('a page is headings, text, and commands with their output', () => {
  assert.deepEqual(parseWalkthrough(page), [
    { kind: 'heading', text: 'A title', line: 1 },
    { kind: 'text', text: 'Some text that goes on.', line: 3 },
    {
      kind: 'command',
      host: 'h1',
      command: 'skein network create demo',
      output: '3d430f3338a2c3496e9edeccc880f0a7affa06522b4249497ef6c4cd6571eaa9',
      line: 9,
    },
    { kind: 'command', host: 'h2', command: 'skein run \\\n  -- true', output: '', line: 11 },
  ]);
});

test('a block without an end, or that begins with something else, is named by its line', () => {
  assert.throws(() => parseWalkthrough('x\n```console\nh1# a'), { name: 'ParseError', message: /line 2: .* no end/ });
  assert.throws(() => parseWalkthrough('```console\noutput\n```'), { name: 'ParseError', message: /line 2: / });
});

const agreeing: readonly (readonly [string, string, string])[] = [
  ['the same', 'a b', 'a b'],
  ['times', 'at 2026-11-20T18:00:00.123Z', 'at 2031-01-02T03:04:05Z'],
  ['durations', '64 bytes: time=0.579 ms', '64 bytes: time=12 ms'],
  ['interface indexes', '53: eth0@if54: <UP>', '7: eth0@if8: <UP>'],
  ['anything in a line', 'state … end', 'state a b c end'],
  ['any lines', 'a\n…\nz', 'a\nb\nc\nz'],
  ['the rest', 'a\n…', 'a\nb\nc'],
  ['gaps between columns', 'ID     NAME\n1234567890ab   x', 'ID         NAME\nabcdef012345       x'],
  ['spaces and lines at the end', 'a  \nb', 'a\nb\n\n'],
  ['brackets are brackets', '[{"a": (1)}]', '[{"a": (1)}]'],
];

for (const [name, wanted, found] of agreeing) {
  test(`page and run agree: ${name}`, () => assert.equal(disagreement(wanted, found, new Ids()), undefined));
}

const disagreeing: readonly (readonly [string, string, string, RegExp])[] = [
  ['another word', 'a', 'b', /the page says "a", this run "b"/],
  ['a line less', 'a\nb', 'a', /the page goes on with "b"/],
  ['a line more', 'a', 'a\nb', /this run goes on with "b"/],
  ['no output', '', 'error', /this run goes on with "error"/],
  ['an error for a line skipped to', 'a\n…\nz', 'a\nb', /the page goes on with "z"/],
  ['an id of another length', '1234567890ab', '1234567890', /the page says/],
  ['an interface of another name', '5: eth0@if6:', '5: eth1@if6:', /the page says/],
];

for (const [name, wanted, found, message] of disagreeing) {
  test(`page and run disagree: ${name}`, () => assert.match(disagreement(wanted, found, new Ids()) ?? '', message));
}

test('an id is the same one wherever it comes again, also shortened, and in commands', () => {
  const ids = new Ids();
  const [one, other] = ['1'.repeat(64), '2'.repeat(64)];
  const [run, runOther] = ['a'.repeat(64), 'b'.repeat(64)];
  assert.equal(disagreement(`${one}\n${other}`, `${run}\n${runOther}`, ids), undefined);
  assert.equal(disagreement(one.slice(0, 12), run.slice(0, 12), ids), undefined);
  assert.ok(disagreement(one.slice(0, 12), runOther.slice(0, 12), ids));
  assert.ok(disagreement('3'.repeat(12), run.slice(0, 12), ids));
  assert.equal(
    ids.translate(`ls /x/1-${one.slice(0, 10)} ${other} 10.0.0.1`),
    `ls /x/1-${run.slice(0, 10)} ${runOther} 10.0.0.1`,
  );
});

test('an id that was seen short cannot be asked for at length', () => {
  const ids = new Ids();
  ids.pair('1111111111', '2222222222');
  assert.throws(() => ids.translate('1'.repeat(64)), /only 10 digits of the id/);
});
