import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { heapUsed } from '../../lib/heap.testing.ts';
import { frame } from '../../model/frame.ts';
import { split } from './harness.testing.ts';
import { readLog } from './output.ts';

test('who follows a log keeps nothing of the times that it was woken', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'skein-l-'));
  const path = join(directory, 'log.0');
  const line = frame.encode({ stream: 'stdout', time: 0n, bytes: Buffer.from('x\n') });
  const [ended, stop] = [new AbortController(), new AbortController()];
  await appendFile(path, line);
  const chunks = readLog({ directory, follow: true, ended: ended.signal, signal: stop.signal });
  // What happens beside the log wakes a follower who has read all of it.
  const wake = async (times: number) => {
    for (let i = 0; i < times; i += 1) await writeFile(join(directory, 'beside'), String(i));
  };
  try {
    await chunks.next();
    const next = chunks.next();
    await wake(500);
    const before = heapUsed();
    await wake(5000);
    const kept = (heapUsed() - before) / 5000;
    assert.ok(kept < 100, `${kept} bytes are kept of each time`);
    await appendFile(path, line);
    assert.equal((await next).value?.length, line.length);
    ended.abort();
    for await (const chunk of chunks) assert.ok(chunk.length > 0);
  } finally {
    stop.abort();
    await rm(directory, { recursive: true, force: true });
  }
});

test('the last lines are those of one moment, though more is written; who follows goes on from there', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'skein-l-'));
  const line = (number: number) =>
    frame.encode({ stream: 'stdout', time: 0n, bytes: Buffer.from(`${number}\n`.padStart(9)) });
  const lines = (first: number, count: number) =>
    Buffer.concat(Array.from({ length: count }, (_, index) => line(first + index)));
  const older = lines(0, 30_000);
  const newer = join(directory, `log.${older.length}`);
  // A writer who has more to say whenever something has been read; the log ends within a frame when that begins.
  const read = async (follow: boolean) => {
    await writeFile(join(directory, 'log.0'), older);
    await writeFile(newer, Buffer.concat([lines(30_000, 2), line(30_002).subarray(0, 20)]));
    const [ended, stop] = [new AbortController(), new AbortController()];
    const found: number[] = [];
    let next = 30_002;
    for await (const chunk of readLog({ directory, follow, tail: 4, ended: ended.signal, signal: stop.signal })) {
      found.push(...split(chunk).stdout.trim().split(/\s+/).map(Number));
      if (next < 30_010) await appendFile(newer, next === 30_002 ? line(next).subarray(20) : line(next));
      else ended.abort();
      next += 1;
    }
    return found;
  };
  try {
    const last = [29_998, 29_999, 30_000, 30_001];
    assert.deepEqual(await read(false), last);
    assert.deepEqual(await read(true), [...last, ...Array.from({ length: 8 }, (_, index) => 30_002 + index)]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
