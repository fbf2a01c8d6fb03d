import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostIdOf } from '../../model/host-key.ts';
import type { Journal } from '../../state/journal.ts';
import { beginEpoch } from './identity.ts';

/** The one entry of the journal that is of interest. */
function journal(stored?: unknown): Pick<Journal, 'load' | 'commit'> {
  let self = stored;
  return {
    load: async () => (self === undefined ? [] : [{ id: 'self', value: self }]),
    commit: async ([change]) => {
      if (change && 'put' in change) self = change.put;
    },
  };
}

test('the id of a new host follows from its key, and stays', async () => {
  const disk = journal();
  const first = await beginEpoch(disk);
  assert.equal(first.id, hostIdOf(first.publicKey));
  assert.deepEqual(await beginEpoch(disk), { ...first, epoch: 2 });
  assert.notEqual((await beginEpoch(journal())).id, first.id);
});

test('a host that had an id before ids followed from keys keeps it', async () => {
  const { privateKey } = await beginEpoch(journal());
  const id = '0123456789abcdef0123456789abcdef';
  assert.equal((await beginEpoch(journal({ id, privateKey, epoch: 7 }))).id, id);
});
