import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Holder, Space } from './claims.ts';
import { hexId, hostIdOf, type StateClient, type StateHarness, type StateKind } from './records.contract.ts';

export function claimsContract({ name, start }: StateKind): void {
  describe(`claims in ${name}`, () => {
    let harness: StateHarness;
    let one: StateClient;
    let two: StateClient;
    const networks: Space = { kind: 'networks' };
    const space = { kind: 'endpoints', network: hexId('net') } as const;
    const untilClaimed = async (client: StateClient, wish: string, holder: Holder) => {
      const deadline = performance.now() + 10_000;
      for (;;) {
        const claimed = await client.claims.claim(space, wish, holder).then(
          () => true,
          () => false,
        );
        if (claimed) return;
        assert.ok(performance.now() < deadline, 'the name was not free 10 s after its host had left');
      }
    };
    before(async () => {
      harness = await start();
      [one, two] = [await harness.join('one'), await harness.join('two')];
    });
    after(() => harness?.close());

    test('a watch begins with every name and its holder, and tells of claims and releases', async () => {
      const watched: Space = { kind: 'endpoints', network: hexId('watched') };
      const [a, b] = [{ id: hexId('a'), host: one.host }, { id: hexId('b') }];
      await one.claims.claim(watched, 'before', a);
      await one.claims.claim(space, 'elsewhere', a);
      await harness.spread();
      const stop = new AbortController();
      const events = two.claims.watch(watched, { signal: stop.signal })[Symbol.asyncIterator]();
      const next = async () => (await events.next()).value;
      assert.deepEqual(await next(), { kind: 'snapshot', holders: new Map([['before', a]]) });
      await one.claims.claim(watched, 'after', b);
      assert.deepEqual(await next(), { kind: 'put', name: 'after', holder: b });
      await two.claims.release(watched, 'before', a);
      assert.deepEqual(await next(), { kind: 'delete', name: 'before' });
      stop.abort();
      assert.equal((await events.next()).done, true);
    });

    test('a name belongs to who asked first, and the other is told to whom', async () => {
      const [a, b] = [
        { id: hexId('a'), host: one.host },
        { id: hexId('b'), host: two.host },
      ];
      await one.claims.claim(space, 'first', a);
      await one.claims.claim(space, 'first', a);
      await assert.rejects(two.claims.claim(space, 'first', b), { name: 'Claimed', wish: 'first', by: a });
      assert.deepEqual(await two.claims.holder(space, 'first'), a);
    });

    test('of many who ask at once one gets it', async () => {
      const asked = Array.from({ length: 20 }, (_, i) =>
        (i % 2 ? one : two).claims.claim(space, 'rush', { id: hexId(`rush ${i}`), host: one.host }),
      );
      const results = await Promise.allSettled(asked);
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    });

    test('a released name is free, and releasing what another holds changes nothing', async () => {
      const [a, b] = [
        { id: hexId('a'), host: one.host },
        { id: hexId('b'), host: two.host },
      ];
      await one.claims.claim(space, 'released', a);
      await two.claims.release(space, 'released', b);
      assert.deepEqual(await one.claims.holder(space, 'released'), a);
      await one.claims.release(space, 'released', a);
      await one.claims.release(space, 'released', a);
      await harness.spread();
      assert.equal(await two.claims.holder(space, 'released'), undefined);
      await two.claims.claim(space, 'released', b);
    });

    test('spaces are apart, and upper and lower case differ', async () => {
      const holders = ['v', 'w', 'x', 'y', 'z'].map((id) => ({ id: hexId(id) }));
      const { network } = space;
      const ofHosts = [one, two].map(({ host }): Space => ({ kind: 'endpoints', network, host }));
      const spaces: Space[] = [networks, space, { kind: 'endpoints', network: hexId('other') }, ...ofHosts];
      for (const [i, where] of spaces.entries()) await one.claims.claim(where, 'same', holders[i] ?? assert.fail());
      await one.claims.claim(networks, 'Same', { id: hexId('u') });
    });

    test('a name that could leave its place among the keys is refused', async () => {
      for (const name of ['', 'a/b', '../x', 'a\0b', ' ', 'x'.repeat(129)]) {
        await assert.rejects(one.claims.claim(networks, name, { id: hexId('a') }), {
          name: 'Refusal',
          kind: 'invalid',
        });
      }
    });

    test('the name of a lost host is taken over, that of a living one and that of the cluster are not', async () => {
      const three = await harness.join('three');
      const theirs = { id: hexId('theirs'), host: three.host };
      const mine = { id: hexId('mine'), host: one.host };
      await three.claims.claim(space, 'orphan', theirs);
      await three.claims.claim(networks, 'orphan', { id: hexId('net') });
      await assert.rejects(one.claims.claim(space, 'orphan', mine), { name: 'Claimed' });
      await one.settled();
      await three.close();
      await untilClaimed(one, 'orphan', mine);
      await harness.spread();
      assert.deepEqual(await two.claims.holder(space, 'orphan'), mine);
      await assert.rejects(one.claims.claim(networks, 'orphan', { id: hexId('else') }), { name: 'Claimed' });
    });

    test('claimed again by the same holder without a host, a name outlives the host that claimed it', async () => {
      const three = await harness.join('three');
      const half = { id: hexId('made'), host: three.host };
      await three.claims.claim(networks, 'for-good', half);
      assert.deepEqual(await two.claims.holder(networks, 'for-good'), half);
      await three.claims.claim(networks, 'for-good', { id: half.id });
      await three.claims.claim(networks, 'for-good', { id: half.id });
      await harness.spread();
      assert.deepEqual(await two.claims.holder(networks, 'for-good'), { id: half.id });
      // Another name of the same host shows when it counts as lost.
      await three.claims.claim(space, 'of-three', { id: hexId('of-three'), host: three.host });
      await one.settled();
      await three.close();
      const mine = { id: hexId('mine too'), host: one.host };
      await untilClaimed(one, 'of-three', mine);
      await assert.rejects(one.claims.claim(networks, 'for-good', mine), { name: 'Claimed', by: { id: half.id } });
    });

    test('a host that may not judge yet does not take over', async () => {
      const theirs = { id: hexId('ghost'), host: hostIdOf('never was') };
      await one.claims.claim(space, 'ghost', theirs);
      const fresh = await harness.join('fresh');
      await assert.rejects(fresh.claims.claim(space, 'ghost', { id: hexId('f'), host: fresh.host }), {
        name: 'Claimed',
      });
      await fresh.close();
    });
  });
}
