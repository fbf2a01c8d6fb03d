import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silent } from '../../lib/log.ts';
import { hostRecord } from '../../state/records.contract.ts';
import { Overlays } from './overlays.ts';
import { nowhere } from './sandbox-record.ts';

function overlays(): Overlays {
  const nothing = () => undefined;
  return new Overlays({
    registry: { watch: async function* () {} },
    claims: { watch: async function* () {} },
    hosts: { self: hostRecord('one'), get: nothing },
    names: { network: nothing, leave: nothing, put: nothing, remove: nothing },
    change: async () => undefined,
    own: nothing,
    ownOn: () => [],
    ownNamed: nothing,
    missing: nothing,
    log: silent,
  });
}

test('a network is full with the last port that its bridge has beside the one of vxlan0, and is not when one is given back', () => {
  const all = overlays();
  for (let n = 0; n < 1022; n++) {
    assert.ok(!all.isFull('net'), `after ${n}`);
    assert.equal(all.takePort('net', `place ${n}`), `veth${n}`);
  }
  assert.ok(all.isFull('net'));
  assert.ok(!all.isFull('other'));
  all.leave([{ ...nowhere, id: 'place 5', name: 'any', network: 'net', port: 'veth5' }]);
  assert.ok(!all.isFull('net'));
  assert.equal(all.takePort('net', 'late'), 'veth5');
});
