import assert from 'node:assert/strict';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { heapUsed } from '../../lib/heap.testing.ts';
import { frame } from '../../model/frame.ts';
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
