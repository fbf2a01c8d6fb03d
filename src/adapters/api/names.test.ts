import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryControllers } from './memory.testing.ts';
import { openNameHandlers } from './names.ts';

const known = memoryControllers({ stop: () => undefined });
const plan = { subnets: [], ipv6: false, internal: false, attachable: false, options: {}, labels: {} };
const { id } = await known.networks.create({ ...plan, name: 'demo' });
await known.networks.create({ ...plan, name: 'other' });
const web = {
  ...{ id: 'e'.repeat(64), names: ['Web'], network: { id, name: 'demo' }, addresses: ['10.0.0.2'], ports: [] },
  itself: false,
  ...{ container: { id: 'c'.repeat(64), name: 'web' }, host: '2'.repeat(32), lost: false, byHand: false },
};
const handlers = openNameHandlers({ ...known, names: { ...known.names, list: () => [web] } });

async function look(container: string) {
  const request = { params: { name: 'db' }, query: { type: 'A', container }, body: undefined };
  return await handlers.lookUpName(request, answering());
}

const answering = () => ({ signal: AbortSignal.timeout(10_000), afterwards: () => undefined });

test('who gives a name that a container has is warned of what is answered', async () => {
  const add = async (name: string, network?: string) => {
    const body = { name, addresses: ['192.0.2.1'], ...(network !== undefined && { network }) };
    const request = { params: undefined, query: undefined, body };
    return (await handlers.addRecord(request, answering())).warning;
  };
  assert.equal(await add('web'), 'who is on demo is answered what has the name web there, not this');
  assert.equal(await add('web', 'demo'), "the name web is a container's on demo, too: both are answered there");
  assert.equal(await add('web', 'other'), undefined);
  assert.equal(await add('db'), undefined);
});

test('who asks what a container of another host is answered is told where it is', async () => {
  for (const container of ['web', 'c'.repeat(12)]) {
    await assert.rejects(look(container), {
      kind: 'conflict',
      message: `container ${container} is on host h2: look up there what it is answered`,
    });
  }
  await assert.rejects(look('nobody'), { kind: 'not-found' });
});
