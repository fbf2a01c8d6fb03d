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
    await tell(t, await walk.between(...pairs.networks));
    await pairs.running[0].act(host);
    await pairs.attaching[0].act(host);
    await tell(t, [await walk.ends(stop), await walk.starts('host start', kill)]);
    await tell(t, [await walk.starts('host start on a fresh host', reset)]);
  });

  test('while a namespace is attached and detached, and again while that is taken up', async (t) => {
    const { walk } = await openHost(t);
    const [attach, detach] = pairs.attaching;
    await tell(t, await walk.between(attach, detach));
    // Everything is there, and the journal does not say so.
    await tell(t, [await walk.twice(attach, detach, { kind: 'journal', call: 2, when: 'before', late: 200 })]);
  });

  test('while a container runs and is removed, and is connected and disconnected', async (t) => {
    const { host, walk } = await openHost(t);
    await tell(t, await walk.between(...pairs.running));
    await pairs.running[0].act(host);
    await tell(t, await walk.between(...pairs.connecting));
  });
});

async function openHost(t: TestContext): Promise<{ host: DoomedHost; walk: Walk }> {
  labs += 1;
  const name = `death-${process.pid}-${labs}`;
  const lab = await openLab({ name, hosts: 2, underlay: 4, mtu: 1500, tied: true, daemons: false });
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
  for (const { name, calls, deaths, leaks } of tallies) {
    await t.test(name, (each) => {
      each.diagnostic(`${calls} calls found, ${deaths} deaths, ${leaks.length} leaks`);
      assert.equal(leaks.join('\n\n'), '');
      assert.ok(calls >= (known[name] ?? Infinity), `${calls} calls were found, ${known[name]} the last time`);
      assert.ok(deaths >= calls, `${deaths} deaths at ${calls} calls`);
    });
  }
}
