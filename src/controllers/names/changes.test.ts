import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { NameChange } from '../../dns/dns.ts';
import { silent } from '../../lib/log.ts';
import { Changes } from './changes.ts';

const endpoint = (id: string, name: string) =>
  ({ kind: 'endpoint', id, network: 'n', names: [name], addresses: [] }) as const;

test('what is told in one turn is one change, in which the last word on each thing counts', async () => {
  const sent: NameChange[] = [];
  const changes = new Changes(async (change) => void sent.push(change), silent);
  changes.put(endpoint('1', 'a'));
  changes.remove({ kind: 'endpoint', id: '1' });
  changes.remove({ kind: 'endpoint', id: '2' });
  changes.put(endpoint('3', 'c'));
  changes.put(endpoint('2', 'b'));
  changes.put(endpoint('3', 'd'));
  assert.deepEqual(sent, []);
  await setImmediate();
  await setImmediate();
  const put = [endpoint('2', 'b'), endpoint('3', 'd')];
  assert.deepEqual(sent, [{ put, remove: [{ kind: 'endpoint', id: '1' }] }]);
  await changes.told();
  assert.equal(sent.length, 1, 'there was nothing else');
});

test('who waits until it is told waits for no turn, and a change that fails is logged and holds up nothing', async () => {
  const log: string[] = [];
  let failing = true;
  const sent: NameChange[] = [];
  const send = async (change: NameChange) => {
    if (failing) throw new Error('the thread is gone');
    sent.push(change);
  };
  const changes = new Changes(send, {
    ...silent,
    error: (message, fields) => log.push(`${message}: ${String(fields?.['error'])}`),
  });
  changes.put(endpoint('1', 'a'));
  await changes.told();
  assert.deepEqual(log, ['names could not be told: the thread is gone']);
  failing = false;
  changes.put(endpoint('2', 'b'));
  const told = changes.told();
  assert.equal(sent.length, 1);
  await told;
});
