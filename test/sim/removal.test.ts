import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkRecord } from '../../src/state/records.contract.ts';
import { together } from './figures.ts';
import { addressesOf } from './users.ts';

test('a host that is removed while it runs gets nothing from then on; what it had said is carried on once, and then forgotten', async () => {
  const world = together(41, 5, { above: true });
  const [founder, admin, out, other] = world.hosts;
  assert.ok(founder && admin && out?.above && other?.above);
  founder.belonging.promote(admin.id);
  const network = { ...networkRecord('left-behind'), owner: out.id };
  for (const host of world.hosts) host.sheets.follow([network.id]);
  await world.pass(1_000);
  const added = out.above.state.catalog.add(network);
  await world.pass(1_000);
  await added;
  const owner = { host: other.id, id: 'e'.repeat(64), name: 'e' };
  const taken = other.above.state.allocator.take(addressesOf(network.id), owner);
  await world.pass(1_000);
  const item = await taken;

  admin.belonging.remove(out.id, false);
  await world.pass(500);
  assert.deepEqual([...world.network.linksOf(out.id)], [], 'its links have ended');
  await world.pass(6_000);
  const rest = world.hosts.filter((host) => host !== out);
  for (const host of rest) {
    for (const scope of ['host', 'ring', 'catalog'] as const)
      assert.equal(host.sheets.read(out.id, scope), undefined, `${host.name} holds its ${scope} still`);
    assert.deepEqual(await host.above?.state.catalog.list(), [network]);
    const held = await host.above?.state.allocator.held(addressesOf(network.id));
    assert.deepEqual(held, [{ item, owner }]);
  }
  const heirs = rest.filter(({ id, sheets }) => sheets.read(id, 'ring')?.entries.has(`taken/${out.id}`));
  assert.deepEqual(heirs, [admin]);
});
