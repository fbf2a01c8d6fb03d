import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { openLab } from '../../src/lab/lab.ts';
import { DoomedHost } from '../death/host.ts';
import { kill, pairs, prepare, reset, stop } from '../death/operations.ts';
import { type Tally, Walk } from '../death/walk.ts';
import { skip } from './testbed.ts';

/**
 * The daemon is killed at every call that changes something, of every operation: between any two of the kernel's and of the
 * journal's thread, before and after each request to the store and each file. After a restart the operation is done or
 * undone, and everything that the host, the store and the journal hold says the same.
 */
describe('a daemon that is killed at every call', { skip, concurrency: true }, () => {
  test('while networks come and go, and while it is started and stopped itself', async (t) => {
    const { host, walk } = await openHost(t);
    const [create, rm] = pairs.networks;
    await tell(t, await walk.between(create, rm));
    await create.act(host);
    // Nobody finds it any more, and what it held is not given back.
    await tell(t, [await walk.twice(rm, create, { kind: 'store', call: 3, when: 'before' })]);
    await pairs.running[0].act(host);
    await pairs.attaching[0].act(host);
    await tell(t, [await walk.ends(stop), await walk.starts('host start', kill)]);
    await tell(t, [await walk.starts('host start on a fresh host', reset)]);
  });

  test('while a namespace is attached and detached, and again while that is taken up', async (t) => {
    const { host, walk } = await openHost(t);
    const [attach, detach] = pairs.attaching;
    await tell(t, await walk.between(attach, detach));
    // Everything is there, and the journal does not say so.
    await tell(t, [await walk.twice(attach, detach, { kind: 'journal', call: 2, when: 'before', late: 200 })]);
    await attach.act(host);
    // Half of it is out of the kernel.
    await tell(t, [await walk.twice(detach, attach, { kind: 'kernel', call: 4, when: 'before' })]);
  });

  test('while a container runs and is removed, and again while that is taken up', async (t) => {
    const { host, walk } = await openHost(t);
    const [run, rm] = pairs.running;
    await tell(t, await walk.between(run, rm));
    // Its sandbox is whole, and the journal does not say so.
    await tell(t, [await walk.twice(run, rm, { kind: 'journal', call: 2, when: 'before', late: 200 })]);
    await run.act(host);
    // It is out of the kernel, and not out of the store.
    await tell(t, [await walk.twice(rm, run, { kind: 'store', call: 1, when: 'before' })]);
  });

  test('while a container is connected and disconnected, and again while that is taken up', async (t) => {
    const { host, walk } = await openHost(t);
    await pairs.running[0].act(host);
    const [connect, disconnect] = pairs.connecting;
    await tell(t, await walk.between(connect, disconnect));
    await connect.act(host);
    // It is journalled that it leaves, and nothing is done.
    await tell(t, [await walk.twice(disconnect, connect, { kind: 'journal', call: 1, when: 'after' })]);
  });

  test('while the host itself goes on a network and off it', async (t) => {
    const { walk } = await openHost(t);
    await tell(t, await walk.between(...pairs.exposing, 8));
  });
});

async function openHost(t: TestContext): Promise<{ host: DoomedHost; walk: Walk }> {
  labs += 1;
  const name = `death-${process.pid}-${labs}`;
  const lab = await openLab({ name, hosts: 2, underlay: 4, mtu: 1500, tied: true, store: 'etcd', daemons: false });
  t.after(() => lab.close());
  const elsewhere = lab.host('h2');
  await elsewhere.daemon.start();
  const host = new DoomedHost(lab.host('h1'), cache);
  // What was compiled is kept when a daemon ends by itself.
  assert.equal(await host.start(), 'ready');
  await stop.act(host);
  await host.ended;
  assert.equal(await host.start(), 'ready');
  await prepare(host, elsewhere);
  return { host, walk: new Walk(host, lab.store) };
}

let labs = 0;
const cache = mkdtempSync(join(tmpdir(), 'skein-death-'));
after(() => rmSync(cache, { recursive: true, force: true }));

/** So many calls were found when it was last looked; fewer mean that some go past what counts them. */
const known: Readonly<Record<string, number>> = JSON.parse(
  readFileSync(new URL('../death/calls.json', import.meta.url), 'utf8'),
);

async function tell(t: TestContext, tallies: readonly Tally[]): Promise<void> {
  for (const { name, calls, least, deaths, leaks } of tallies) {
    await t.test(name, (each) => {
      const before = calls === known[name] ? '' : ` (${known[name] ?? 'not known'} the last time)`;
      each.diagnostic(`${calls} calls found${before}, ${deaths} deaths, ${leaks.length} leaks`);
      assert.equal(leaks.join('\n\n'), '');
      assert.ok(calls >= (known[name] ?? Infinity), `${calls} calls were found, ${known[name]} the last time`);
      assert.ok(deaths >= least, `${deaths} deaths, and there should be ${least}`);
    });
  }
}
