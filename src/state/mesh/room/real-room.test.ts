import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { until } from '../link/link.testing.ts';
import { RealMesh } from '../link/real-mesh.testing.ts';
import { clusterIdOf } from '../trust/genesis.ts';
import { Token } from '../trust/token.ts';

const token = new Token(crypto.getRandomValues(new Uint8Array(16)));

async function hosts(t: TestContext, count: number): Promise<readonly RealMesh[]> {
  return await Promise.all(Array.from({ length: count }, (_, i) => new RealMesh(`h${i + 1}`).open(t)));
}

/** Three times what users are promised. */
const bound = 30_000;

async function becomeOne(all: readonly RealMesh[]): Promise<void> {
  await until(() => all.every(({ isIn }) => isIn), bound);
  const [cluster, ...others] = new Set(all.map(({ view }) => view.cluster));
  assert.deepEqual(others, [], 'there are several clusters');
  for (const { view, disk } of all) {
    const { hosts: admitted } = view.now();
    const founders = [...admitted].filter(([, { role }]) => role === 'admin');
    assert.equal(founders.length, 1);
    if (disk.cluster) assert.equal(clusterIdOf(disk.cluster.genesis), cluster);
  }
  await until(
    () => all.every(({ mesh }) => mesh.members.list().filter(({ state }) => state === 'alive').length === all.length),
    bound,
  );
}

describe('real hosts that wait with one token', { concurrency: 2 }, () => {
  for (const [count, shape, links] of [
    [2, 'one connects to the other', [[0, 1]]],
    [
      3,
      'a chain',
      [
        [0, 1],
        [1, 2],
      ],
    ],
    [
      3,
      'a ring',
      [
        [0, 1],
        [1, 2],
        [2, 0],
      ],
    ],
  ] as const) {
    test(`become one cluster with one founder: ${count}, ${shape}; a new host joins with the same token`, async (t) => {
      const all = await hosts(t, count);
      for (const [i, host] of all.entries()) {
        const targets = links.filter(([from]) => from === i).map(([, to]) => all[to]?.address ?? '');
        host.wait(token, targets);
      }
      await becomeOne(all);
      const late = await new RealMesh('late').open(t);
      assert.equal(await late.join(token, all[0]?.address ?? ''), undefined);
      await becomeOne([...all, late]);
    });
  }

  for (const [what, role, at] of [
    ['the founder, before anybody was shown what it founded', 0, 'member'],
    ['one that had given its word', 1, 'promised'],
    ['one that had joined', 2, 'member'],
  ] as const) {
    test(`are one cluster also when one is killed and starts again: ${what}`, async (t) => {
      const all = await hosts(t, 3);
      const victim = all.toSorted((one, other) => (one.host.id < other.host.id ? -1 : 1))[role];
      assert.ok(victim);
      let isKilled = false;
      victim.keeping = ({ standing }, isKept) => {
        const isThere = at === 'member' ? standing.kind === at : standing.kind === 'waiting' && standing.promised;
        if (!isKept || isThere === undefined || isThere === false || isKilled) return;
        isKilled = true;
        victim.die();
      };
      for (const [i, host] of all.entries()) {
        host.wait(
          token,
          all.slice(0, i).map(({ address }) => address),
        );
      }
      await until(() => isKilled, bound);
      const again = await new RealMesh(victim.name, victim).open(t);
      again.wait(token);
      await becomeOne([...all.filter((host) => host !== victim), again]);
    });
  }
});
