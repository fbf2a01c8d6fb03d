import assert from 'node:assert/strict';
import type { LabHost } from '../../src/lab/lab.ts';
import { idle, skein, testInLab, until } from './testbed.ts';

interface Finding {
  readonly state: string;
  readonly about: string;
  readonly finding: string;
  readonly advice?: string;
}

async function findings(host: LabHost): Promise<{ code: number; all: readonly Finding[] }> {
  const { code, stdout } = await host.attempt(['skein', 'doctor', '--format', 'json']);
  const all = stdout.trimEnd().split('\n');
  return { code, all: all.map((line): Finding => JSON.parse(line)) };
}

const strict = `
flush ruleset
table inet filter { chain input { type filter hook input priority filter; policy drop; ct state established,related accept; iif lo accept; }
}
`;

testInLab('skein doctor', { hosts: 1, daemons: false }, (step) => {
  step('says that no daemon runs, and what to do', async (lab) => {
    const { code, all } = await findings(lab.host('h1'));
    assert.equal(code, 1);
    const wrong = all.filter(({ state }) => state === 'wrong');
    assert.deepEqual(
      wrong.map(({ about }) => about),
      ['daemon'],
      JSON.stringify(wrong),
    );
    assert.match(wrong[0]?.advice ?? '', /skein launch/);
  });

  step('lists which settings were changed, from what to what', async (lab) => {
    const h1 = lab.host('h1');
    await h1.daemon.start();
    await idle(h1, 'test1');
    const { code, all } = await findings(h1);
    assert.equal(code, 0, JSON.stringify(all));
    const changed = all.filter(({ state, about }) => state === 'changed' && about === 'settings');
    assert.ok(changed.some(({ finding }) => finding === 'net.ipv4.ip_forward is 1 and was 0'));
    assert.match((await h1.exec(['skein', 'doctor'])).stdout, /^ok +daemon +it answers, as process \d+/m);
    assert.match((await h1.exec(['skein', 'doctor'])).stdout, /^ok +kernel +it has all that is needed$/m);
  });

  step("lists what was added to others' chains, and what is missing there while no daemon runs", async (lab) => {
    const h1 = lab.host('h1');
    await h1.exec(['nft', '-f', '-'], { input: strict });
    await until('a rule was added', async () => {
      const added = (await findings(h1)).all.filter(
        ({ about, state }) => about === "others' rules" && state === 'changed',
      );
      return added.some(
        ({ finding }) => finding === 'added nft inet filter input: udp dport 4789 ct state untracked accept',
      );
    });
    await h1.daemon.kill('SIGKILL');
    await h1.exec(['nft', '-f', '-'], { input: strict });
    const { code, all } = await findings(h1);
    assert.equal(code, 1);
    assert.ok(all.some(({ about, state }) => about === "others' rules" && state === 'wrong'));
  });

  step('names an address that is gone, a store that is away and a clock that was set back', async (lab) => {
    const h1 = lab.host('h1');
    await h1.exec(['nft', 'flush', 'ruleset']);
    await h1.daemon.start();
    await h1.exec(['sh', '-c', `touch -d '+1 day' /var/lib/skein/journal.db; ip addr flush dev eth0 scope global`]);
    await until(
      'it is noticed',
      async () => {
        const wrong = (await findings(h1)).all.filter(({ state }) => state === 'wrong').map(({ about }) => about);
        return ['underlay', 'store', 'clock'].every((about) => wrong.includes(about));
      },
      30_000,
    );
  });

  step("after a reset nothing is changed any more, in others' chains too", async (lab) => {
    const h1 = lab.host('h1');
    await h1.exec(['nft', '-f', '-'], { input: strict });
    await until('a rule was added', async () =>
      /comment "skein"/.test((await h1.exec(['nft', 'list', 'ruleset'])).stdout),
    );
    await h1.attempt(['skein', 'reset', '--force']);
    assert.doesNotMatch((await h1.exec(['nft', 'list', 'ruleset'])).stdout, /skein/);
    assert.match((await h1.exec(['nft', 'list', 'ruleset'])).stdout, /policy drop/);
    const { all } = await findings(h1);
    assert.deepEqual(
      all.filter(({ state }) => state === 'changed'),
      [],
    );
    assert.equal(await skein(h1, 'doctor').catch(() => 'wrong'), 'wrong');
  });
});
