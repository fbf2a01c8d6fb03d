import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Journal } from '../../journal.ts';
import { openJournal } from './journal.ts';
import { openLocal } from './local.ts';

describe('the journal', () => {
  let folder: string;
  let files = 0;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'skein-journal-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  const fresh = () => join(folder, `${++files}.db`);
  /** Its thread would keep a test that fails from ending. */
  const opened: Journal[] = [];
  const open = async (path: string) => {
    const journal = await openJournal(path);
    opened.push(journal);
    return journal;
  };
  afterEach(() => Promise.all(opened.splice(0).map((journal) => journal.close())));

  test('nobody else can read it', async () => {
    const path = fresh();
    const journal = await open(path);
    await journal.commit([{ kind: 'host', id: 'self', put: 1 }]);
    for (const file of [path, `${path}-wal`]) assert.equal((await stat(file)).mode & 0o777, 0o600, file);
    await journal.close();
  });

  test('what was committed is there after it was closed and opened again', async () => {
    const path = fresh();
    const first = await open(path);
    await first.commit([
      { kind: 'host', id: 'self', put: { a: 1, later: ['x'] } },
      { kind: 'sandbox', id: 'b', put: null },
      { kind: 'sandbox', id: 'a', put: 'ü' },
      { kind: 'sandbox', id: 'c', put: 3 },
    ]);
    await first.commit([
      { kind: 'sandbox', id: 'c', remove: true },
      { kind: 'sandbox', id: 'none', remove: true },
      { kind: 'sandbox', id: 'b', put: 2 },
    ]);
    await Promise.all([first.close(), first.close()]);
    await assert.rejects(first.load('host'), { name: 'JournalError' });
    const second = await open(path);
    assert.deepEqual(await second.load('host'), [{ id: 'self', value: { a: 1, later: ['x'] } }]);
    assert.deepEqual(await second.load('sandbox'), [
      { id: 'a', value: 'ü' },
      { id: 'b', value: 2 },
    ]);
    assert.deepEqual(await second.load('container'), []);
    await second.close();
  });

  test('a change that cannot be written fails alone, and nothing of its commit is there', async () => {
    const journal = await open(fresh());
    const good = journal.commit([{ kind: 'network', id: 'good', put: 1 }]);
    const bad = journal.commit([
      { kind: 'network', id: 'half', put: 1 },
      { kind: 'network', id: 'bad', put: undefined },
    ]);
    const next = journal.commit([{ kind: 'network', id: 'next', put: 1 }]);
    await assert.rejects(bad, { name: 'JournalError' });
    await Promise.all([good, next]);
    assert.deepEqual(
      (await journal.load('network')).map(({ id }) => id),
      ['good', 'next'],
    );
    await assert.rejects(journal.commit([{ kind: 'network', id: 'long', put: 'x'.repeat(300_000) }]), {
      name: 'JournalError',
    });
    await journal.close();
  });

  test('a file in use is refused naming the process that has it, and is free once that was killed', async () => {
    const path = fresh();
    const program = `import { openJournal } from ${JSON.stringify(new URL('journal.ts', import.meta.url))};
      const journal = await openJournal(${JSON.stringify(path)});
      await journal.commit([{ kind: 'host', id: 'self', put: 1 }]);
      console.log('ready'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    await assert.rejects(openJournal(path), {
      name: 'JournalError',
      message: `${path} is in use by process ${child.pid}; stop it first`,
    });
    await assert.rejects(openLocal(path), { name: 'StoreError', message: /in use by process/ });
    child.kill('SIGKILL');
    await once(child, 'exit');
    const journal = await open(path);
    assert.deepEqual(await journal.load('host'), [{ id: 'self', value: 1 }]);
    await journal.close();
  });

  test('a file that is no database, is damaged, of another program or of a newer version is refused, untouched, saying what to do', async () => {
    const wrong: readonly (readonly [make: (path: string) => Promise<void> | void, message: RegExp])[] = [
      [
        (path) => writeFile(path, 'hello'.repeat(1_000)),
        /is not a database that can be read .*; restore it, or move it away/,
      ],
      [damaged, /is not a database that can be read .*; restore it, or move it away/],
      [(path) => sql(path, 'create table theirs (a)'), /is a database of another program; name another file/],
      [(path) => sql(path, 'pragma application_id = 7'), /is a database of another program/],
      [
        (path) => sql(path, `pragma application_id = ${0x736b6569}; pragma user_version = 2; create table a (b)`),
        /written by a newer skein \(format 2, this one knows 1\)/,
      ],
    ];
    for (const [make, message] of wrong) {
      const path = fresh();
      await make(path);
      const bytes = await readFile(path);
      await assert.rejects(openJournal(path), (error: Error) => {
        assert.equal(error.name, 'JournalError');
        assert.match(error.message, message);
        assert.ok(error.message.startsWith(path));
        return true;
      });
      assert.deepEqual(await readFile(path), bytes);
    }
    await assert.rejects(openJournal(join(folder, 'none/x.db')), {
      message: /cannot be opened.*see that the folder exists/,
    });
  });

  test('many commits at once share flushes', async (t) => {
    const journal = await open(fresh());
    const one = async (id: string) => {
      const began = performance.now();
      await journal.commit([{ kind: 'endpoint', id, put: { value: 'x'.repeat(500) } }]);
      return performance.now() - began;
    };
    await one('warm');
    const alone: number[] = [];
    for (let i = 0; i < 200; i++) alone.push(await one(`a${i}`));
    const median = alone.toSorted((a, b) => a - b)[100] ?? 0;
    const began = performance.now();
    await Promise.all(Array.from({ length: 200 }, (_, i) => one(`b${i}`)));
    const together = performance.now() - began;
    t.diagnostic(`a commit takes ${median.toFixed(2)} ms, 200 at once ${together.toFixed(0)} ms`);
    assert.ok(together < 100 * median + 100, `${together} ms for 200, and ${median} ms for one`);
  });
});

async function damaged(path: string): Promise<void> {
  const journal = await openJournal(path);
  const put = 'x'.repeat(1_000);
  await journal.commit(Array.from({ length: 200 }, (_, i) => ({ kind: 'endpoint', id: `e${i}`, put }) as const));
  await journal.close();
  const bytes = await readFile(path);
  bytes.fill(0xa5, 4096 * 3, 4096 * 20);
  await writeFile(path, bytes);
}

function sql(path: string, text: string): void {
  const db = new DatabaseSync(path);
  db.exec(text);
  db.close();
}
