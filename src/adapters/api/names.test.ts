import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryControllers } from './memory.testing.ts';
import { openNameHandlers } from './names.ts';

const web = {
  ...{ id: 'e'.repeat(64), names: ['web'], network: { id: 'a'.repeat(64), name: 'demo' }, addresses: ['10.0.0.2'] },
  ...{
    ports: [],
    container: { id: 'c'.repeat(64), name: 'web' },
    host: '2'.repeat(32),
    lost: false,
    itself: false,
    byHand: false,
  },
};
const known = memoryControllers({ stop: () => undefined });
const handlers = openNameHandlers({ ...known, names: { ...known.names, list: () => [web] } });

async function look(container: string) {
  const request = { params: { name: 'db' }, query: { type: 'A', container }, body: undefined };
  return await handlers.lookUpName(request, { signal: AbortSignal.timeout(10_000) });
}

test('who asks what a container of another host is answered is told where it is', async () => {
  for (const container of ['web', 'c'.repeat(12)]) {
    await assert.rejects(look(container), {
      kind: 'conflict',
      message: `container ${container} is on host h2: look up there what it is answered`,
    });
  }
  await assert.rejects(look('nobody'), { kind: 'not-found' });
});
