import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { closeLab, openLab } from '../../src/lab/lab.ts';
import { run } from '../../src/lab/run.ts';
import { skip, until } from './testbed.ts';

const launcher = join(import.meta.dirname, '../../skein');
const name = `terminal-${process.pid}`;
const skein = [launcher, '-H', `${name}/h1`];

before(async () => {
  if (skip) return;
  await openLab({ name, hosts: 1, underlay: 4, mtu: 1500, store: 'local:', tied: true });
  await run([...skein, 'run', '-d', '--name', 'idle', '--', 'sleep', 'infinity']);
});
after(() => closeLab(name));

interface Terminal {
  /** Resolves when it shows the text. */
  shows(text: string | RegExp): Promise<unknown>;
  type(text: string): void;
  resize(rows: number, columns: number): Promise<void>;
  /** Exit code of the command; the terminal is found as it was before. */
  ended(): Promise<number>;
}

/** A command of ours on a pseudo-terminal of 31 rows and 97 columns, by script(1). */
function open(...words: readonly string[]): Terminal {
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const session = `stty rows 31 cols 97; tty; before=$(stty -g); ${skein.join(' ')} ${quoted}; code=$?
    [ "$before" = "$(stty -g)" ] || echo the terminal has changed; exit $code`;
  const child = spawn('script', ['-qec', session, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  let screen = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    screen += text;
  });
  const shows = (text: string | RegExp) =>
    until(`the terminal shows ${text}`, async () =>
      typeof text === 'string' ? screen.includes(text) : text.test(screen),
    ).catch((error: unknown) => {
      child.kill('SIGKILL');
      assert.fail(`${String(error)}; it shows ${JSON.stringify(screen)}`);
    });
  return {
    shows,
    type: (text) => child.stdin.write(text),
    resize: async (rows, columns) => {
      const [path = ''] = /^\/dev\/pts\/\d+/m.exec(screen) ?? [];
      await run(['stty', '-F', path, 'rows', String(rows), 'cols', String(columns)]);
    },
    ended: async () => {
      let over = false;
      void closed.then(() => {
        over = true;
      });
      await until('the command ends', async () => over, 30_000).catch((error: unknown) => {
        child.kill('SIGKILL');
        assert.fail(`${String(error)}; the terminal shows ${JSON.stringify(screen)}`);
      });
      assert.doesNotMatch(screen, /the terminal has changed/);
      return child.exitCode ?? 137;
    },
  };
}

for (const [kind, ...words] of [
  ['run', 'run', '-it', '--rm', '--'],
  ['exec', 'exec', '-it', 'idle'],
] as const) {
  test(`${kind} -it: size, input, exit code`, { skip }, async () => {
    const terminal = open(...words, 'sh', '-c', 'stty size; read line; echo "got <$line>"; exit 7');
    await terminal.shows(/^31 97\r$/m);
    terminal.type('hello\r');
    await terminal.shows('got <hello>');
    assert.equal(await terminal.ended(), 7);
  });

  test(`${kind} -it: Ctrl-C and Ctrl-Z are the container's`, { skip }, async () => {
    const script =
      'trap "echo caught; exit 9" INT; trap "echo asked to stop" TSTP; echo ready; while :; do sleep 0.05; done';
    const terminal = open(...words, 'sh', '-c', script);
    await terminal.shows('ready');
    terminal.type('\x1a');
    await terminal.shows('asked to stop');
    terminal.type('\x03');
    await terminal.shows('caught');
    assert.equal(await terminal.ended(), 9);
  });

  test(`${kind} -it: the container's terminal is as large as this one becomes`, { skip }, async () => {
    // It looks again by itself: two signals that come close together can be one to who handles them.
    const script = `$| = 1; $SIG{WINCH} = sub { $told = 1 }; print "ready\\n";
      select(undef, undef, undef, 0.05) until $told && ($size = \`stty size\`) eq "40 120\\n"; print $size; <STDIN>`;
    const terminal = open(...words, 'perl', '-e', script);
    await terminal.shows('ready');
    await terminal.resize(40, 120);
    await terminal.shows(/^40 120\r$/m);
    terminal.type('\r');
    assert.equal(await terminal.ended(), 0);
  });

  test(`${kind} -it: the end of the input is one key, and output is not changed`, { skip }, async () => {
    const terminal = open(...words, 'sh', '-c', 'printf "\\033[1mbold\\033[0m\\n"; cat; echo over');
    await terminal.shows('\x1b[1mbold\x1b[0m\r\n');
    terminal.type('\x04');
    await terminal.shows('over');
    assert.equal(await terminal.ended(), 0);
  });
}
