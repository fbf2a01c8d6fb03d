import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Owner, Pool } from './allocator.ts';
import { hexId, type StateClient, type StateHarness, type StateKind } from './records.contract.ts';

export function allocatorContract({ name, start }: StateKind): void {
  describe(`the allocator in ${name}`, () => {
    let harness: StateHarness;
    let one: StateClient;
    let two: StateClient;
    before(async () => {
      harness = await start();
      [one, two] = [await harness.join('one'), await harness.join('two')];
    });
    after(() => harness?.close());

    let pools = 0;
    const addresses = (range = '10.0.0.0/24', reserved: string[] = ['10.0.0.1']): Pool => ({
      kind: 'addresses',
      network: hexId(`network ${++pools}`),
      range,
      reserved,
    });
    const owner = (client: StateClient, id: string): Owner => ({ host: client.host, id: hexId(id), name: id });
    const take = (client: StateClient, pool: Pool, id: string, wish?: string) =>
      client.allocator.take(pool, owner(client, id), wish);

    test('addresses go out in order over all hosts, without the network, the gateway and the broadcast address', async () => {
      const pool = addresses('10.0.0.0/29');
      const clients = [one, two, one, one, two];
      const got: string[] = [];
      for (const [i, client] of clients.entries()) got.push(await take(client, pool, `o${i}`));
      assert.deepEqual(got, ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
      await assert.rejects(take(two, pool, 'late'), {
        name: 'Refusal',
        kind: 'conflict',
        message: /10\.0\.0\.0\/29 of network [0-9a-f]{12} is exhausted: 5 are held, 10\.0\.0\.\d by o\d/,
      });
    });

    test('many takes at once by several hosts are distinct and dense', async () => {
      const pool = addresses();
      const takes = Array.from({ length: 100 }, (_, i) => take(i % 2 ? one : two, pool, `o${i}`));
      const got = (await Promise.all(takes)).map((item) => Number(item.split('.')[3])).sort((a, b) => a - b);
      assert.deepEqual(
        got,
        Array.from({ length: 100 }, (_, i) => i + 2),
      );
    });

    test('the same owner is given the same item, also when it asks twice at once', async () => {
      const pool = addresses();
      const [a, b] = await Promise.all([take(one, pool, 'same'), take(one, pool, 'same')]);
      assert.equal(a, b);
      await harness.spread();
      assert.equal(await take(two, pool, 'same'), a);
      assert.equal((await one.allocator.held(pool)).length, 1);
    });

    test('a wish is given, or its holder named; reserved addresses can be wished for', async () => {
      const pool = addresses();
      assert.equal(await take(one, pool, 'gateway', '10.0.0.1'), '10.0.0.1');
      assert.equal(await take(one, pool, 'a', '10.0.0.2'), '10.0.0.2');
      assert.equal(await take(one, pool, 'a', '10.0.0.2'), '10.0.0.2');
      await assert.rejects(take(two, pool, 'b', '10.0.0.2'), {
        name: 'Taken',
        wish: '10.0.0.2',
        by: { item: '10.0.0.2', owner: owner(one, 'a') },
      });
      assert.equal(await take(two, pool, 'b'), '10.0.0.3');
      await assert.rejects(take(one, pool, 'c', '10.0.0'), { name: 'Refusal', kind: 'invalid' });
    });

    test('what was given back is passed over while others are free, and given at once to its former owner or to a wish', async () => {
      const pool = addresses();
      for (const id of ['a', 'b', 'c']) await take(one, pool, id);
      await one.allocator.give(pool, owner(one, 'a'), '10.0.0.2');
      await one.allocator.give(pool, owner(one, 'a'), '10.0.0.2');
      await one.allocator.give(pool, owner(one, 'b'), '10.0.0.4');
      assert.equal(await take(one, pool, 'd'), '10.0.0.5');
      assert.equal(await take(two, pool, 'e'), '10.0.0.6');
      assert.equal(await take(two, pool, 'a'), '10.0.0.2');
      await one.allocator.give(pool, owner(one, 'b'), '10.0.0.3');
      assert.equal(await take(two, pool, 'f', '10.0.0.3'), '10.0.0.3');
      await harness.spread();
      const held = (await one.allocator.held(pool)).map(({ item, owner: { name } }) => `${item} ${name}`).sort();
      assert.deepEqual(held, ['10.0.0.2 a', '10.0.0.3 f', '10.0.0.4 c', '10.0.0.5 d', '10.0.0.6 e']);
    });

    test('what was taken and never used is given again at once', async () => {
      const pool = addresses();
      const item = await take(one, pool, 'failed');
      await one.allocator.give(pool, owner(one, 'failed'), item, { unused: true });
      assert.equal(await take(one, pool, 'next'), item);
    });

    test('when nothing else is free the longest rested is given', async () => {
      const pool = addresses('10.0.0.0/29');
      for (const id of ['a', 'b', 'c', 'd', 'e']) await take(one, pool, id);
      for (const [id, item] of [
        ['c', '10.0.0.4'],
        ['a', '10.0.0.2'],
      ] as const) {
        await one.allocator.give(pool, owner(one, id), item);
      }
      assert.deepEqual([await take(one, pool, 'x'), await take(one, pool, 'y')], ['10.0.0.4', '10.0.0.2']);
      await assert.rejects(take(one, pool, 'z'), { kind: 'conflict' });
    });

    test('IPv6 addresses are taken in order, without the first of the range', async () => {
      const pool = addresses('fd00::/64', ['fd00::1']);
      assert.deepEqual([await take(one, pool, 'a'), await take(two, pool, 'b')], ['fd00::2', 'fd00::3']);
      assert.equal(await take(one, pool, 'c', 'FD00:0::ffff:0:1'), 'fd00::ffff:0:1');
    });

    test('both families of one network are apart', async () => {
      const four = addresses();
      assert.equal(four.kind, 'addresses');
      const six: Pool = { ...four, range: 'fd00::/64', reserved: [] };
      assert.deepEqual([await take(one, four, 'a'), await take(one, six, 'a')], ['10.0.0.2', 'fd00::1']);
      await harness.spread();
      assert.deepEqual([await take(two, four, 'a'), await take(two, six, 'a')], ['10.0.0.2', 'fd00::1']);
    });

    test('VNIs are taken in order', async () => {
      const pool: Pool = { kind: 'vnis', first: 256, last: 258 };
      assert.deepEqual(
        [await take(one, pool, 'a'), await take(two, pool, 'b'), await take(one, pool, 'c')],
        ['256', '257', '258'],
      );
      await assert.rejects(take(two, pool, 'd'), { kind: 'conflict', message: /VNIs 256 to 258 is exhausted/ });
      await assert.rejects(take(two, pool, 'd', '0257'), { kind: 'invalid' });
    });

    test('networks go out in order, pass over what is held, avoided or resting, and never overlap, by many at once', async () => {
      const pool: Pool = {
        kind: 'subnets',
        ranges: [
          { range: '10.0.0.0/16', size: 24 },
          { range: '10.4.0.0/14', size: 24 },
        ],
        avoid: ['10.0.1.0/25', '172.16.0.0/12'],
      };
      assert.equal(await take(one, pool, 'a'), '10.0.0.0/24');
      assert.equal(await take(two, pool, 'b'), '10.0.2.0/24');
      assert.equal(await take(two, pool, 'b'), '10.0.2.0/24');
      assert.equal(await take(two, pool, 'wide', '10.0.4.0/22'), '10.0.4.0/22');
      await assert.rejects(take(one, pool, 'c', '10.0.5.0/24'), {
        name: 'Taken',
        message: '10.0.5.0/24 is taken by wide (10.0.4.0/22)',
      });
      await assert.rejects(take(one, pool, 'c', '10.0.0.0/8'), { name: 'Taken' });
      assert.deepEqual([await take(one, pool, 'd'), await take(one, pool, 'e')], ['10.0.3.0/24', '10.0.8.0/24']);
      await one.allocator.give(pool, owner(one, 'a'), '10.0.0.0/24');
      assert.equal(await take(two, pool, 'f'), '10.0.9.0/24');
      assert.equal(await take(two, pool, 'a'), '10.0.0.0/24');
      const wishes = ['10.8.0.0/16', '10.8.1.0/24', '10.8.0.0/15', '10.8.1.128/25', '10.9.0.0/16'];
      const raced = await Promise.allSettled(wishes.map((wish, i) => take(i % 2 ? one : two, pool, `w${i}`, wish)));
      const given = wishes.filter((_, i) => raced[i]?.status === 'fulfilled');
      assert.ok(given.length > 0);
      const held = (await one.allocator.held(pool)).map(({ item }) => item);
      const { overlaps, parsePrefix } = await import('../lib/prefix.ts');
      for (const a of held)
        for (const b of held) assert.ok(a === b || !overlaps(parsePrefix(a), parsePrefix(b)), `${a} ${b}`);
    });

    test('an exhausted pool of networks gives up the longest rested, then names a holder', async () => {
      const pool: Pool = { kind: 'subnets', ranges: [{ range: '192.168.0.0/23', size: 24 }], avoid: [] };
      await take(one, pool, 'p');
      await take(one, pool, 'q');
      await assert.rejects(take(two, pool, 'r'), {
        kind: 'conflict',
        message: /192\.168\.0\.0\/23 in networks of \/24 is exhausted: \d+ are held/,
      });
      await one.allocator.give(pool, owner(one, 'q'), '192.168.1.0/24');
      await harness.spread();
      assert.equal(await take(two, pool, 'r'), '192.168.1.0/24');
    });
  });
}
