import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Token } from '../trust/token.ts';
import { until } from './link.testing.ts';
import { RealMesh } from './real-mesh.testing.ts';

test('hosts join by a token, the third through a member that is no admin, and all read what each says', async (t) => {
  const [one, two, three] = await Promise.all(['one', 'two', 'three'].map((name) => new RealMesh(name).open(t)));
  assert.ok(one && two && three);
  const token = await one.found();
  assert.equal(await two.join(token, one.address), undefined);
  assert.equal(await three.join(token, two.address), undefined);
  const meshes = [one, two, three];
  await until(() => meshes.every(({ view }) => view.now().hosts.size === 3));
  await three.mesh.sheets.change('catalog', (draft) => draft.put('key', 'value'));
  await until(() =>
    meshes.every(({ mesh }) => mesh.sheets.read(three.host.id, 'catalog')?.entries.get('key') === 'value'),
  );
  await until(() =>
    meshes.every(({ mesh }) => mesh.members.list().filter(({ state }) => state === 'alive').length === 3),
  );
  // The claim was said and answered, and is no more.
  await until(
    () =>
      ![...(one.mesh.sheets.read(two.host.id, 'host')?.entries.keys() ?? [])].some((key) => key.startsWith('claim/')),
  );

  const stranger = await new RealMesh('stranger').open(t);
  const wrong = new Token(new Uint8Array(16), token.fingerprint);
  assert.match(
    (await stranger.join(wrong, one.address)) ?? '',
    /refuses this host: it has a token that is not of this cluster/,
  );
  assert.equal(stranger.isIn, false);
});

test('a removed host is out at once, everywhere, and stays out with whatever token; made anew it can join', async (t) => {
  const [one, two, three] = await Promise.all(['one', 'two', 'three'].map((name) => new RealMesh(name).open(t)));
  assert.ok(one && two && three);
  const token = await one.found();
  assert.equal(await two.join(token, one.address), undefined);
  assert.equal(await three.join(token, one.address), undefined);
  await two.mesh.sheets.change('catalog', (draft) => draft.put('mine', 1));
  const rest = [one, three];
  await until(() => rest.every(({ mesh }) => mesh.sheets.read(two.host.id, 'catalog') !== undefined));

  const newToken = await one.remove(two);
  await until(() => rest.every(({ mesh }) => mesh.sheets.read(two.host.id, 'catalog') === undefined));
  for (const { mesh, view } of rest) {
    assert.ok(!view.now().hosts.has(two.host.id));
    await until(() => mesh.members.list().every(({ id }) => id !== two.host.id));
  }
  // What it says from now on comes to nobody, and what they say not to it.
  await two.mesh.sheets.change('catalog', (draft) => draft.put('mine', 2));
  await one.mesh.sheets.change('catalog', (draft) => draft.put('secret', 1));
  await until(() => three.mesh.sheets.read(one.host.id, 'catalog')?.entries.has('secret') === true);
  for (const address of [one.address, three.address]) {
    assert.match((await two.dial(address)) ?? '', /refuses this host: it was removed from the cluster/);
  }
  assert.equal(two.mesh.sheets.read(one.host.id, 'catalog')?.entries.has('secret') ?? false, false);
  assert.ok(rest.every(({ mesh }) => mesh.sheets.read(two.host.id, 'catalog') === undefined));

  const anew = await new RealMesh('anew').open(t);
  assert.match((await anew.join(token, three.address)) ?? '', /old token/);
  assert.equal(await anew.join(newToken, three.address), undefined);
});
