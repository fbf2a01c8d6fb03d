import assert from 'node:assert/strict';
import type { Lab, LabHost } from '../../src/lab/lab.ts';
import { idle, inspectNetwork, pings, skein, testInLab, until } from './testbed.ts';

const states = (host: LabHost) => skein(host, 'host', 'ls', '--format', '{{.Name}} {{.State}}');
const isAlive = async (host: LabHost, names: readonly string[]) =>
  (await states(host)).split('\n').filter((line) => line.endsWith(' alive')).length === names.length;

/** Cuts what comes from some hosts off some others, or lets it through again. */
async function cut(from: readonly LabHost[], to: readonly LabHost[]): Promise<void> {
  for (const host of to) {
    const rules = from.map(({ address }) => `add rule inet cut in ip saddr ${address} drop`).join('; ');
    const chain = 'add table inet cut; add chain inet cut in { type filter hook prerouting priority -400; }';
    await host.exec(['nft', `${chain}; ${rules}`]);
  }
}

async function heal(hosts: readonly LabHost[]): Promise<void> {
  for (const host of hosts) await host.attempt(['nft', 'delete table inet cut']);
}

/** What a host says of the containers on a network, by name, in one text. */
async function view(host: LabHost, network: string): Promise<string> {
  const { Containers } = await inspectNetwork(host, network);
  return Object.values(Containers)
    .map(({ Name, IPv4Address }) => `${Name} ${IPv4Address}`)
    .toSorted()
    .join('\n');
}

const five = ({ hosts }: Lab): readonly [LabHost, LabHost, LabHost, LabHost, LabHost] => {
  const [h1, h2, h3, h4, h5] = hosts;
  if (!h1 || !h2 || !h3 || !h4 || !h5) throw new Error('a lab of five hosts');
  return [h1, h2, h3, h4, h5];
};

testInLab('five hosts without a store', { hosts: 5, store: 'mesh:' }, (step) => {
  step('see each other, and give each container an address of its own', async (lab) => {
    const all = five(lab);
    for (const host of all) await until('all are there', () => isAlive(host, ['h1', 'h2', 'h3', 'h4', 'h5']));
    await skein(all[0], 'network', 'create', '--subnet', '10.5.0.0/24', 'demo');
    await Promise.all(all.map((host, i) => idle(host, `c${i + 1}`, '--network', 'demo')));
    const [first] = await Promise.all(all.map((host) => view(host, 'demo')));
    assert.equal(new Set(first?.split('\n').map((line) => line.split(' ')[1])).size, 5);
    for (const host of all) await until('one view', async () => (await view(host, 'demo')) === first, 5_000);
    assert.ok(await pings(all[0], 'c1', 'c5'));
  });

  step(
    'work on in two parts, and are one again within 5 s: no address twice, of two equal names one is changed',
    async (lab, t) => {
      const all = five(lab);
      const [h1, h2, h3, h4, h5] = all;
      const [many, few] = [
        [h1, h2, h3],
        [h4, h5],
      ];
      await cut(few, many);
      await cut(many, few);
      await until('the many are alone', () => isAlive(h1, ['h1', 'h2', 'h3']), 20_000);
      await until('the few are alone', () => isAlive(h5, ['h4', 'h5']), 20_000);
      await Promise.all([idle(h2, 'twin', '--network', 'demo'), idle(h5, 'twin', '--network', 'demo')]);
      await Promise.all([idle(h3, 'left', '--network', 'demo'), idle(h4, 'right', '--network', 'demo')]);
      assert.ok(await pings(h1, 'c1', 'twin'));
      assert.ok(await pings(h4, 'c4', 'twin'));
      await heal(all);
      await until('all are there', () => isAlive(h1, ['h1', 'h2', 'h3', 'h4', 'h5']), 30_000);
      const settled = async () => {
        const views = await Promise.all(all.map((host) => view(host, 'demo')));
        return new Set(views).size === 1 && /^twin-[0-9a-f]{12} /m.test(views[0] ?? '');
      };
      t.diagnostic(
        `one view ${await until('one view, and one of the twins has another name', settled, 15_000)} ms after all were seen`,
      );
      const lines = (await view(h1, 'demo')).split('\n');
      assert.equal(lines.length, 9);
      assert.equal(new Set(lines.map((line) => line.split(' ')[1])).size, 9);
      assert.equal(lines.filter((line) => line.startsWith('twin ')).length, 1);
      await until('traffic', () => pings(h3, 'left', 'right'));
    },
  );

  step('that hear only in one direction, or only through another, are not taken for lost', async (lab) => {
    const all = five(lab);
    const [h1, h2] = all;
    await cut([h1], [h2]);
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    for (const host of all) assert.ok(await isAlive(host, ['h1', 'h2', 'h3', 'h4', 'h5']), await states(host));
    await idle(h1, 'one-way', '--network', 'demo');
    await until('it is known behind the cut', async () => (await view(h2, 'demo')).includes('one-way '), 10_000);
    await heal(all);
  });

  step('whose disk is put back to what it was give no address twice', async (lab) => {
    const all = five(lab);
    const [, , h3] = all;
    await h3.daemon.kill('SIGKILL');
    await h3.exec(['cp', '-a', '/var/lib/skein', '/var/lib/skein.old']);
    await h3.daemon.start();
    for (const name of ['late1', 'late2', 'late3']) await idle(h3, name, '--network', 'demo');
    const before = (await view(h3, 'demo')).split('\n');
    await until('others know', async () => (await view(all[0], 'demo')).includes('late3 '));
    await h3.daemon.kill('SIGKILL');
    await h3.exec(['sh', '-c', 'rm -rf /var/lib/skein; mv /var/lib/skein.old /var/lib/skein']);
    await h3.daemon.start();
    await idle(h3, 'again', '--network', 'demo');
    const again = (await view(h3, 'demo')).split('\n').find((line) => line.startsWith('again ')) ?? assert.fail();
    assert.ok(!before.some((line) => line.split(' ')[1] === again.split(' ')[1]), again);
  });
});
