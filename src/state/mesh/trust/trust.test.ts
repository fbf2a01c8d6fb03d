import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { hostIdOf } from '../../../model/host-key.ts';
import { signerOf, verify } from '../signing.ts';
import { type Admin, admission, type Change, credentials, promotion, removal, rotation } from './changes.ts';
import { clusterIdOf, found, parseGenesis } from './genesis.ts';
import { isGenuine, issue, parseStatements, type TrustSheet } from './statements.ts';
import { again, type FakeHost, fakeHost, fakeVerify, foundedBy, sheetOf } from './trust.testing.ts';
import { judgeOf, mostAdmins, mostFormerAdmins, type Trust } from './trust.ts';

const [founder, second, third] = [fakeHost('founder'), fakeHost('second'), fakeHost('third')];
const [fourth, fifth, stranger] = [fakeHost('fourth'), fakeHost('fifth'), fakeHost('stranger')];
const genesis = foundedBy(founder);
const cluster = clusterIdOf(genesis);

/** All that was ever said, as every host comes to hold it. */
class Sheets {
  readonly #entries = new Map<string, Map<string, unknown>>();

  says({ id }: FakeHost, change: Change): void {
    this.#entries.set(id, new Map([...(this.#entries.get(id) ?? []), ...change]));
  }

  takesBack({ id }: FakeHost, key: string): void {
    this.#entries.get(id)?.delete(key);
  }

  all(): TrustSheet[] {
    return [...this.#entries].map(([owner, entries]) => again({ owner, entries }));
  }

  admin({ signer }: FakeHost): Admin {
    return { signer, judge: judgeOf(genesis, fakeVerify), sheets: this.all() };
  }

  trust(sheets = this.all()): Trust {
    return judgeOf(genesis, fakeVerify)(sheets);
  }

  /** The role of everyone who is in, in whatever order the sheets came. */
  roles(): Record<string, string> {
    assert.deepEqual(summary(this.trust(this.all().toReversed())), summary(this.trust()));
    return Object.fromEntries([...this.trust().hosts].map(([id, { role, name }]) => [name ?? nameOf(id), role]));
  }

  admit(by: FakeHost, ...hosts: FakeHost[]): void {
    for (const { signer, name } of hosts) this.says(by, admission({ key: signer.key, name }));
  }

  promote(by: FakeHost, host: FakeHost): void {
    this.says(by, promotion(this.admin(by), host.id));
    for (const admin of [by, host]) this.says(admin, credentials(this.trust()));
  }

  remove(by: FakeHost, ...hosts: FakeHost[]): void {
    this.says(by, removal(this.admin(by), new Set(hosts.map(({ id }) => id))));
  }
}

const known = [founder, second, third, fourth, fifth, stranger];

function nameOf(id: string): string {
  return known.find((host) => host.id === id)?.name ?? id;
}

/** The founder made second and third admins; second let fourth in. */
function town(): Sheets {
  const sheets = new Sheets();
  sheets.admit(founder, second, third);
  sheets.promote(founder, second);
  sheets.promote(founder, third);
  sheets.admit(second, fourth);
  return sheets;
}

const all = { founder: 'admin', second: 'admin', third: 'admin', fourth: 'member' };

test('a cluster begins with its founder alone, and its id is the hash of what the founder said', () => {
  assert.deepEqual(new Sheets().roles(), { founder: 'admin' });
  const other = found({ ...genesis, dataPort: 4790 }, founder.signer);
  assert.notEqual(clusterIdOf(other), cluster);
  assert.deepEqual(parseGenesis(JSON.parse(JSON.stringify(genesis)), 'genesis', fakeVerify), genesis);
  assert.throws(() => parseGenesis({ ...genesis, dataPort: 4790 }, 'genesis', fakeVerify), /not signed by its founder/);
  assert.throws(() => parseGenesis({ ...genesis, later: 1 }, 'genesis', fakeVerify), /not signed by its founder/);
});

test('admins let hosts in, and make them admins', () => {
  assert.deepEqual(town().roles(), all);
  assert.deepEqual(
    town()
      .trust()
      .hosts.get(second.id)
      ?.warrants.map(({ key }) => key),
    [second.signer.key],
  );
});

test('what a member or a stranger says counts for nothing', () => {
  const sheets = town();
  sheets.admit(fourth, stranger);
  sheets.says(fourth, new Map([[`removed/${founder.id}`, {}]]));
  sheets.admit(stranger, stranger);
  const forged = [issue(cluster, { key: stranger.signer.key, rank: 1 }, stranger.signer)];
  forged.push({ ...issue(cluster, { key: stranger.signer.key, rank: 1 }, stranger.signer), by: founder.signer.key });
  for (const warrant of forged) sheets.says(stranger, new Map([[`admin/${stranger.id}`, warrant]]));
  assert.deepEqual(sheets.roles(), all);
});

test('two who make each other admins are none', () => {
  const sheets = town();
  for (const [by, host] of [
    [fifth, stranger],
    [stranger, fifth],
  ] as const) {
    sheets.says(by, new Map([[`admin/${host.id}`, issue(cluster, { key: host.signer.key, rank: 1 }, by.signer)]]));
    sheets.admit(by, host);
  }
  assert.deepEqual(sheets.roles(), all);
});

test('a warrant of another cluster counts for nothing', () => {
  const sheets = town();
  const elsewhere = issue('f'.repeat(64), { key: stranger.signer.key, rank: 1 }, founder.signer);
  sheets.says(stranger, new Map([[`admin/${stranger.id}`, elsewhere]]));
  assert.deepEqual(sheets.roles(), all);
});

test('a host cannot be let in under the id of another', () => {
  const sheets = town();
  sheets.says(founder, new Map([[`member/${fifth.id}`, { key: stranger.signer.key }]]));
  assert.deepEqual(sheets.roles(), all);
});

test('removal beats admission, whoever admits and whenever', () => {
  const sheets = town();
  sheets.remove(founder, fourth);
  sheets.admit(second, fourth);
  sheets.admit(third, fourth);
  const { fourth: _, ...rest } = all;
  assert.deepEqual(sheets.roles(), rest);
  assert.equal(sheets.trust().removed.get(fourth.id)?.by, founder.id);
});

test('who removes an admin lets in anew whom it had let in and removed', () => {
  const sheets = town();
  sheets.admit(second, fifth);
  sheets.remove(second, fifth);
  sheets.remove(founder, second);
  const { second: _, ...rest } = all;
  assert.deepEqual(sheets.roles(), rest);
  assert.ok(sheets.trust().removed.has(fifth.id));
});

test('what a removed admin says afterwards counts for nothing, and it cannot take its revenge', () => {
  const sheets = town();
  sheets.remove(founder, second);
  const before = sheets.roles();
  sheets.admit(second, stranger);
  sheets.says(second, new Map([[`removed/${founder.id}`, {}]]));
  sheets.says(second, new Map([[`removed/${third.id}`, {}]]));
  const made = issue(cluster, { key: stranger.signer.key, rank: 1 }, second.signer);
  sheets.says(stranger, new Map([[`admin/${stranger.id}`, made]]));
  sheets.says(stranger, credentials(town().trust()));
  sheets.says(stranger, new Map([[`removed/${founder.id}`, {}]]));
  assert.deepEqual(sheets.roles(), before);
});

test('a lost founder can be removed: the cluster goes on with the others, without a word of the founder', () => {
  const sheets = town();
  sheets.admit(founder, fifth);
  sheets.remove(second, founder);
  const rest = { second: 'admin', third: 'admin', fourth: 'member', fifth: 'member' };
  assert.deepEqual(sheets.roles(), rest);
  const withoutFounder = sheets.all().filter(({ owner }) => owner !== founder.id);
  assert.deepEqual([...sheets.trust(withoutFounder).hosts.keys()], [...sheets.trust().hosts.keys()]);
});

test('a founder that was removed and says nothing against it makes no new admins', () => {
  const sheets = town();
  sheets.remove(second, founder);
  const before = sheets.roles();
  sheets.says(
    founder,
    new Map([[`admin/${stranger.id}`, issue(cluster, { key: stranger.signer.key, rank: 9 }, founder.signer)]]),
  );
  sheets.admit(founder, stranger);
  assert.deepEqual(sheets.roles(), before);
});

test('of two admins that remove each other the senior stays', () => {
  for (const [senior, junior] of [
    [second, third],
    [third, second],
  ] as const) {
    const sheets = new Sheets();
    sheets.admit(founder, second, third);
    sheets.promote(founder, senior);
    sheets.promote(founder, junior);
    const [one, other] = [sheets.admin(senior), sheets.admin(junior)];
    sheets.says(senior, removal(one, new Set([junior.id])));
    sheets.says(junior, removal(other, new Set([senior.id])));
    assert.deepEqual(sheets.roles(), { founder: 'admin', [senior.name]: 'admin' });
  }
});

test('two admins that remove a lost founder at the same time both stay', () => {
  const sheets = town();
  const [one, other] = [sheets.admin(second), sheets.admin(third)];
  sheets.says(second, removal(one, new Set([founder.id])));
  sheets.says(third, removal(other, new Set([founder.id])));
  assert.deepEqual(sheets.roles(), { second: 'admin', third: 'admin', fourth: 'member' });
});

test('what each admin says who removes a host is known, not only what the senior says', () => {
  const sheets = town();
  for (const [by, force] of [
    [third, true],
    [second, false],
  ] as const)
    sheets.says(by, removal(sheets.admin(by), new Set([fourth.id]), { force }));
  const removed = sheets.trust().removed.get(fourth.id);
  assert.equal(removed?.by, second.id);
  assert.deepEqual(
    removed?.all,
    new Map([
      [second.id, { force: false }],
      [third.id, { force: true }],
    ]),
  );
});

test('only an admin changes who is in, it does not remove itself, and it is told who can', () => {
  const sheets = town();
  assert.throws(() => promotion(sheets.admin(fourth), fourth.id), /not an admin of the cluster: .*second, third can/);
  assert.throws(() => removal(sheets.admin(fourth), new Set([founder.id])), /not an admin/);
  assert.throws(() => removal(sheets.admin(second), new Set([second.id])), /does not remove itself/);
  assert.throws(() => promotion(sheets.admin(second), stranger.id), /no such host/);
});

test('the token with the highest number counts, and the ones before it are known as old', () => {
  const sheets = town();
  const [one, two, three] = ['one', 'two', 'three'].map((name) => fakeHost(name).signer);
  assert.ok(one && two && three);
  sheets.says(founder, rotation(sheets.trust(), one));
  sheets.says(second, rotation(sheets.trust(), two));
  assert.deepEqual([sheets.trust().token?.key, sheets.trust().token?.old], [two.key, [one.key]]);
  // Who does not know its secret cannot publish a token.
  sheets.says(third, new Map([['token', { key: three.key, n: 9, vouch: second.signer.sign(''), old: [] }]]));
  assert.equal(sheets.trust().token?.key, two.key);
  sheets.says(fourth, rotation(sheets.trust(), three));
  assert.equal(sheets.trust().token?.key, two.key);
});

test('an admin that makes admins without end fills nothing but its own place', () => {
  const sheets = town();
  const crowd = Array.from({ length: mostAdmins + 50 }, (_, n) => fakeHost(`crowd ${n}`));
  for (const [n, { id, signer }] of crowd.entries()) {
    sheets.says(third, new Map([[`admin/${id}`, issue(cluster, { key: signer.key, rank: n + 1 }, third.signer)]]));
  }
  const admins = [...sheets.trust().hosts.values()].filter(({ role }) => role === 'admin');
  assert.equal(admins.length, mostAdmins);
  sheets.says(founder, new Map([[`removed/${third.id}`, {}]]));
  assert.deepEqual(sheets.roles(), { founder: 'admin', second: 'admin', fourth: 'member' });
});

test('with real keys the same holds', () => {
  const signers = Array.from({ length: 2 }, () => signerOf(generateKeyPairSync('ed25519').privateKey));
  const [one, two] = signers;
  assert.ok(one && two);
  const facts = { created: genesis.created, nonce: genesis.nonce, dataPort: 4789, underlay: 4 } as const;
  const real = parseGenesis(found(facts, one), 'genesis', verify);
  const warrant = issue(clusterIdOf(real), { key: two.key, rank: 1 }, one);
  const sheet = sheetOf({ id: hostIdOf(two.key) }, new Map([[`admin/${hostIdOf(two.key)}`, warrant]]));
  assert.equal(judgeOf(real, verify)([again(sheet)]).hosts.get(hostIdOf(two.key))?.role, 'admin');
  const other = sheetOf(
    sheet.owner === '' ? founder : { id: sheet.owner },
    new Map([[`admin/${sheet.owner}`, { ...warrant, rank: 2 }]]),
  );
  assert.equal(judgeOf(real, verify)([again(other)]).hosts.size, 1);
});

/** What anybody might say: also forgeries, copies of others' warrants, removals of seniors and of itself. */
const saying = fc.record({
  by: fc.nat(known.length - 1),
  kind: fc.constantFrom('member', 'admin', 'copy', 'forged', 'removed', 'token', 'garbage'),
  about: fc.nat(known.length - 1),
  issuer: fc.nat(known.length - 1),
  rank: fc.integer({ min: 1, max: 3 }),
});
type Saying = typeof saying extends fc.Arbitrary<infer T> ? T : never;

function changeOf({ by, kind, about, issuer, rank }: Saying): Change {
  const host = (place: number) => known[place] ?? founder;
  const { id, signer } = host(about);
  const facts = { key: signer.key, rank };
  switch (kind) {
    case 'member':
      return new Map([[`member/${id}`, { key: signer.key }]]);
    case 'admin':
      return new Map([[`admin/${id}`, issue(cluster, facts, host(by).signer)]]);
    case 'copy':
      // Only of those whose key the adversary could hold: the founder warrants nobody but second and third.
      return new Map([[`admin/${id}`, issue(cluster, facts, host(honest(issuer, about)).signer)]]);
    case 'forged':
      return new Map([[`admin/${id}`, { ...issue(cluster, facts, host(by).signer), by: host(issuer).signer.key }]]);
    case 'removed':
      return new Map([[`removed/${id}`, {}]]);
    case 'token':
      return rotation({ ...new Sheets().trust(), token: undefined }, host(about).signer);
    case 'garbage':
      return new Map([
        [`admin/${id}`, { key: signer.key }],
        [`member/${id}/x`, {}],
        ['later', {}],
      ]);
  }
}

function honest(issuer: number, about: number): number {
  return about === 1 || about === 2 ? issuer : 4;
}

const history = fc.array(saying, { maxLength: 40 });

function sheetsOf(sayings: readonly Saying[]): TrustSheet[] {
  const sheets = town();
  for (const said of sayings) sheets.says(known[said.by] ?? founder, changeOf(said));
  return sheets.all();
}

/** Comparable whatever the order of its maps. */
function summary({ hosts, removed, token }: Trust): unknown {
  return {
    hosts: [...hosts].map(([id, { key, role, warrants }]) => [id, key, role, warrants]),
    removed: [...removed].map(([id, { by }]) => `${id} ${by}`).toSorted(),
    token,
  };
}

test('whatever is said, the sheets in any order make the same of it on every host', () => {
  fc.assert(
    fc.property(history, fc.nat(), (sayings, turn) => {
      const sheets = sheetsOf(sayings);
      const turned = [
        ...sheets.slice(turn % (sheets.length + 1)),
        ...sheets.slice(0, turn % (sheets.length + 1)),
      ].toReversed();
      assert.deepEqual(
        summary(judgeOf(genesis, fakeVerify)(turned.map(again))),
        summary(judgeOf(genesis, fakeVerify)(sheets)),
      );
    }),
    { numRuns: 400 },
  );
});

test('a host that came to hold the sheets one version after the other judges as one that sees them for the first time', () => {
  fc.assert(
    fc.property(history, (sayings) => {
      const judge = judgeOf(genesis, fakeVerify);
      const sheets = new Sheets();
      for (const said of sayings) {
        sheets.says(known[said.by] ?? founder, changeOf(said));
        judge(sheets.all());
      }
      assert.deepEqual(summary(judge(sheets.all())), summary(sheets.trust()));
    }),
    { numRuns: 100 },
  );
});

test('whatever is said, nobody is in without a chain from the founder, and nobody who was removed by one who is', () => {
  fc.assert(
    fc.property(history, (sayings) => {
      const sheets = sheetsOf(sayings);
      const { hosts, removed } = judgeOf(genesis, fakeVerify)(sheets);
      const said = new Map(sheets.map(({ owner, entries }) => [owner, parseStatements(entries)]));
      const admins = [...hosts].filter(([, { role }]) => role === 'admin');
      for (const [id, { key, warrants }] of admins) {
        let above = genesis.founder;
        for (const warrant of warrants) {
          assert.ok(isGenuine(warrant, cluster, fakeVerify) && warrant.by === above);
          above = warrant.key;
        }
        assert.deepEqual([above, hostIdOf(key)], [key, id]);
        for (const target of said.get(id)?.removed.keys() ?? []) assert.ok(target === id || !hosts.has(target));
      }
      for (const [id, { role, key }] of hosts) {
        assert.ok(!removed.has(id) && hostIdOf(key) === id);
        assert.ok(role === 'admin' || admins.some(([admin]) => said.get(admin)?.members.has(id)));
      }
    }),
    { numRuns: 400 },
  );
});

/** A host that holds only what it has to, as the sheets come in this order, again and again. */
function held(sheets: readonly TrustSheet[]): Trust {
  const judge = judgeOf(genesis, fakeVerify);
  const holds = new Map<string, TrustSheet>();
  for (let changed = true; changed; ) {
    changed = false;
    for (const sheet of sheets) {
      if (holds.has(sheet.owner) || !judge(holds.values()).signers.has(sheet.owner)) continue;
      holds.set(sheet.owner, sheet);
      changed = true;
      const { signers } = judge(holds.values());
      for (const owner of holds.keys()) assert.ok(signers.has(owner), 'what was held is held on');
    }
  }
  return judge(holds.values());
}

test('hosts that hold the sheets of none but those who were ever admins judge the same in whatever order they came', () => {
  fc.assert(
    fc.property(history, fc.nat(), (sayings, turn) => {
      const sheets = sheetsOf(sayings);
      const place = turn % (sheets.length + 1);
      const turned = [...sheets.slice(place), ...sheets.slice(0, place)].toReversed();
      assert.deepEqual(summary(held(turned)), summary(held(sheets)));
    }),
    { numRuns: 200 },
  );
});

test('of two admins that removed each other the same one stays on hosts that heard of either first', () => {
  const sheets = town();
  const [one, other] = [sheets.admin(founder), sheets.admin(second)];
  sheets.says(founder, removal(one, new Set([second.id])));
  sheets.says(second, removal(other, new Set([founder.id])));
  for (const order of [sheets.all(), sheets.all().toReversed()]) {
    assert.deepEqual([...held(order).hosts.keys()], [founder.id, third.id, fourth.id]);
  }
});

test('a removed admin makes others hold no more than some sheets', () => {
  const sheets = town();
  sheets.remove(founder, second);
  for (let n = 0; n < 200; n += 1) {
    const made = issue(cluster, { key: fakeHost(`crowd ${n}`).signer.key, rank: n + 2 }, second.signer);
    sheets.says(second, new Map([[`admin/${hostIdOf(made.key)}`, made]]));
  }
  const { signers } = sheets.trust();
  assert.equal(signers.size, 2 + mostFormerAdmins);
  assert.ok(signers.has(second.id) && signers.has(third.id));
});

test('removal by an admin leaves everyone else in', () => {
  fc.assert(
    fc.property(history, fc.nat(), fc.nat(), (sayings, one, other) => {
      const sheets = sheetsOf(sayings);
      const judge = judgeOf(genesis, fakeVerify);
      const before = judge(sheets);
      const by = known.filter(({ id }) => before.hosts.get(id)?.role === 'admin');
      const admin = by[one % Math.max(1, by.length)];
      const target = [...before.hosts.keys()].filter((id) => id !== admin?.id)[
        other % Math.max(1, before.hosts.size - 1)
      ];
      if (admin === undefined || target === undefined) return;
      const change = removal({ signer: admin.signer, judge, sheets }, new Set([target]));
      const own = sheets.find(({ owner }) => owner === admin.id)?.entries ?? new Map();
      const after = judge([
        ...sheets.filter(({ owner }) => owner !== admin.id),
        { owner: admin.id, entries: new Map([...own, ...change]) },
      ]);
      assert.deepEqual(
        [...after.hosts.keys()].toSorted(),
        [...before.hosts.keys()].filter((id) => id !== target).toSorted(),
      );
      for (const id of before.removed.keys()) assert.ok(after.removed.has(id));
    }),
    { numRuns: 400 },
  );
});
