import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits, type Members, type SheetChange, type Sheets } from './sheets.ts';

/** Some hosts that know each other and can all be reached. */
export interface SheetsHarness {
  readonly sheets: (id: string) => Sheets;
  readonly members: (id: string) => Members;
  /** Until all who live hold the same. */
  readonly settle: () => Promise<void> | void;
  /** It dies and all have noticed. */
  readonly kill: (id: string) => Promise<void> | void;
  /** Does `act`, stops the host and starts it with its disk as it was before. */
  readonly rollBack: (id: string, act: () => Promise<void>) => Promise<void>;
}

const hosts = ['a', 'b', 'c'].map((letter) => letter.repeat(32));
const [a = '', b = '', c = ''] = hosts;
const network = `network:${'1'.repeat(64)}` as const;

export function sheetsContract(
  name: string,
  start: (ids: readonly string[]) => Promise<SheetsHarness> | SheetsHarness,
): void {
  describe(`sheets in ${name}`, () => {
    test('what one host says all others read, until it says it no more', async () => {
      const { sheets, settle } = await start(hosts);
      await sheets(a).change('catalog', (draft) => draft.put('one', { value: 1, later: [true] }));
      assert.deepEqual(sheets(a).read(a, 'catalog')?.entries.get('one'), { value: 1, later: [true] });
      await settle();
      for (const host of hosts)
        assert.deepEqual([...(sheets(host).read(a, 'catalog')?.entries ?? [])], [['one', { value: 1, later: [true] }]]);
      await sheets(a).change('catalog', (draft) => draft.delete('one'));
      await settle();
      for (const host of hosts) assert.equal(sheets(host).read(a, 'catalog')?.entries.size, 0);
    });

    test('changes asked for at a time are made one after the other on what is there then', async () => {
      const { sheets, settle } = await start(hosts);
      const add = () =>
        sheets(a).change('ring', (draft) => {
          const count = Number(draft.get('count') ?? 0) + 1;
          draft.put('count', count);
          return count;
        });
      assert.deepEqual(await Promise.all([add(), add(), add()]), [1, 2, 3]);
      await settle();
      assert.equal(sheets(c).read(a, 'ring')?.entries.get('count'), 3);
    });

    test('an edit that throws leaves the sheet as it is, and those beside it count', async () => {
      const { sheets } = await start(hosts);
      const put = sheets(a).change('ring', (draft) => draft.put('kept', 1));
      const thrown = sheets(a).change('ring', (draft) => {
        draft.put('dropped', 1);
        throw new Error('changed my mind');
      });
      await assert.rejects(thrown, /changed my mind/);
      await put;
      assert.deepEqual([...(sheets(a).read(a, 'ring')?.entries.keys() ?? [])], ['kept']);
    });

    test('what is over a limit is refused', async () => {
      const { sheets } = await start(hosts);
      const long = 'x'.repeat(limits.value);
      await assert.rejects(
        sheets(a).change('ring', (draft) => draft.put('long', long)),
        /more than other hosts would take/,
      );
      await assert.rejects(
        sheets(a).change('ring', (draft) => draft.put('k'.repeat(limits.key + 1), 1)),
        /more than/,
      );
      await assert.rejects(
        sheets(a).change('ring', (draft) => {
          for (let n = 0; n <= limits.sheet / limits.value; n += 1) draft.put(`${n}`, long.slice(2));
        }),
        /more than/,
      );
      assert.equal(sheets(a).read(a, 'ring')?.entries.size ?? 0, 0);
    });

    test('who watches is told each changed key, its own changes included', async () => {
      const { sheets, settle } = await start(hosts);
      const seen: SheetChange[] = [];
      const stop = sheets(b).watch((change) => seen.push(change));
      const keysOf = (owner: string) =>
        seen.filter((change) => change.owner === owner && change.scope === 'catalog').flatMap(({ keys }) => keys);
      await sheets(a).change('catalog', (draft) => {
        draft.put('one', 1);
        draft.put('two', 2);
      });
      await sheets(b).change('catalog', (draft) => draft.put('mine', 1));
      await settle();
      assert.deepEqual(keysOf(a).toSorted(), ['one', 'two']);
      assert.deepEqual(keysOf(b), ['mine']);
      stop();
      await sheets(a).change('catalog', (draft) => draft.put('three', 3));
      await settle();
      assert.deepEqual(keysOf(a).toSorted(), ['one', 'two']);
    });

    test('the sheets of a network come to those who follow it, and go when they do no more', async () => {
      const { sheets, settle } = await start(hosts);
      sheets(a).follow([network.slice(8)]);
      sheets(b).follow([network.slice(8)]);
      await sheets(a).change(network, (draft) => draft.put('endpoint', 1));
      await settle();
      assert.equal(sheets(b).read(a, network)?.entries.get('endpoint'), 1);
      assert.equal(sheets(c).read(a, network), undefined);
      sheets(c).follow([network.slice(8)]);
      await settle();
      assert.equal(sheets(c).read(a, network)?.entries.get('endpoint'), 1);
      sheets(b).follow([]);
      assert.equal(sheets(b).read(a, network), undefined);
    });

    test('a host whose disk was rolled back takes back what it had said, and is heard again', async () => {
      const harness = await start(hosts);
      await harness.sheets(a).change('ring', (draft) => draft.put('early', 1));
      await harness.settle();
      await harness.rollBack(a, async () => {
        await harness.sheets(a).change('ring', (draft) => draft.put('late', 1));
        await harness.settle();
      });
      await harness.settle();
      assert.equal(harness.sheets(a).read(a, 'ring')?.entries.get('late'), 1);
      assert.ok(harness.members(a).compared().size > 0, 'it has compared');
      await harness.sheets(a).change('ring', (draft) => draft.put('after', 1));
      await harness.settle();
      assert.deepEqual([...(harness.sheets(c).read(a, 'ring')?.entries.keys() ?? [])].toSorted(), [
        'after',
        'early',
        'late',
      ]);
    });

    test('what a lost host said stays', async () => {
      const { sheets, members, settle, kill } = await start(hosts);
      await sheets(c).change('ring', (draft) => draft.put('held', 1));
      await settle();
      await kill(c);
      assert.equal(
        members(a)
          .list()
          .find(({ id }) => id === c)?.state,
        'lost',
      );
      assert.equal(sheets(a).read(c, 'ring')?.entries.get('held'), 1);
    });
  });
}
