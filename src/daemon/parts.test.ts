import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusal } from '../lib/errors.ts';
import { silent } from '../lib/log.ts';
import { openLog } from './log.ts';
import { gatewayPools } from './pools.ts';
import { repairRegularly } from './repair.ts';
import { shrink } from './run.ts';

function logged(
  logFormat: 'auto' | 'text' | 'json',
  logLevel: 'debug' | 'info' = 'info',
  isTTY = false,
): { lines: string[]; log: ReturnType<typeof openLog> } {
  const lines: string[] = [];
  return { lines, log: openLog({ logLevel, logFormat }, { isTTY, write: (line: string) => lines.push(line) }) };
}

test('lines are JSON for programs: a constant message and named fields', () => {
  const { lines, log } = logged('auto');
  log.debug('left out');
  log.warn('host lost', { name: 'h2', error: new Refusal('conflict', 'because') });
  assert.equal(lines.length, 1);
  const { time, ...line } = JSON.parse(lines[0] ?? '');
  assert.deepEqual(line, { level: 'warn', msg: 'host lost', name: 'h2', error: 'because' });
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 10_000);
});

test('an error that is a bug is logged with its stack', () => {
  const { lines, log } = logged('json');
  log.error('request failed', { error: new TypeError('x') });
  assert.match(JSON.parse(lines[0] ?? '').error.stack, /^TypeError: x\n {4}at /);
});

test('lines are readable at a terminal and when asked for', () => {
  for (const { lines, log } of [logged('auto', 'debug', true), logged('text', 'debug')]) {
    log.debug('seen', { name: 'h2', text: 'a b', list: [1], error: new Error('broken') });
    assert.match(lines[0] ?? '', /^\S+Z DEBUG seen name=h2 text="a b" list=\[1\] error=broken\n$/);
  }
});

test('pools for the gateway bridge are cut into networks of their size', () => {
  assert.deepEqual(
    gatewayPools([
      { range: '172.18.0.0/16', size: 16 },
      { range: '192.168.0.0/16', size: 18 },
    ]),
    ['172.18.0.0/16', '192.168.0.0/18', '192.168.64.0/18', '192.168.128.0/18', '192.168.192.0/18'],
  );
  assert.equal(gatewayPools([{ range: '10.0.0.0/8', size: 30 }]).length, 256);
  assert.deepEqual(gatewayPools([{ range: 'fd00::/62', size: 63 }]), ['fd00::/63', 'fd00:0:0:2::/63']);
});

test('regular repair ends at once when it is closed', async () => {
  const repairing = repairRegularly({ dataplane: { repair: async () => ({ steps: [] }) }, log: silent });
  const before = Date.now();
  await repairing.close();
  await repairing.close();
  assert.ok(Date.now() - before < 3_000);
});

test('memory that cannot be given back is a line for the curious, not the end of the daemon', () => {
  const { lines, log } = logged('json', 'debug');
  shrink(() => {
    throw new Error('no smaps here');
  }, log);
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)).map(({ level, error }) => ({ level, error })),
    [{ level: 'debug', error: 'no smaps here' }],
  );
});
