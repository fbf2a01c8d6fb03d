import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Fabric } from '../fabric.testing.ts';
import { type AdmissionsNeeds, admit, dropClaims, serveAsAdmin } from './admissions.ts';
import { admission, type Change, promotion, rotation } from './changes.ts';
import { type Claim, claimOf } from './claim.ts';
import { type FakeHost, fakeHost, fakeVerify, foundedBy, tokenOf } from './trust.testing.ts';
import { judgeOf } from './trust.ts';
import { TrustView } from './view.ts';

const [founder, member, joiner] = [fakeHost('founder'), fakeHost('member'), fakeHost('joiner')];
const genesis = foundedBy(founder);
const token = tokenOf('token', genesis);

function claimBy({ signer, name }: FakeHost, own = token): Claim {
  return claimOf({ signer, name, token: own, addresses: [] }, { binding: '1'.repeat(64) });
}

/** A founder and a member whose sheets come to each other with `settle`, and a clock that `expire` makes ring. */
async function town() {
  const fabric = new Fabric();
  const timers = new Set<() => void>();
  const needs = ({ id }: FakeHost): AdmissionsNeeds => {
    const { sheets } = fabric.host(id);
    const after = (_: number, task: () => void) => {
      timers.add(task);
      return () => timers.delete(task);
    };
    return {
      sheets,
      view: new TrustView(genesis, fakeVerify, () => sheets.list('trust')),
      verify: fakeVerify,
      clock: { after },
    };
  };
  const [atFounder, atMember] = [needs(founder), needs(member)];
  const say = (change: Change) =>
    atFounder.sheets.change('trust', (draft) => {
      for (const [key, said] of change) draft.put(key, JSON.parse(JSON.stringify(said)));
    });
  await say(rotation(atFounder.view.now(), token.signer()));
  await say(admission({ key: member.signer.key, name: 'member' }));
  fabric.settle();
  const expire = () => {
    for (const task of timers) task();
  };
  return { atFounder, atMember, say, settle: () => fabric.settle(), expire, timers };
}

const throws = (error: unknown) => {
  throw error;
};

function claimsAt({ sheets }: AdmissionsNeeds): readonly string[] {
  return [...(sheets.read(sheets.self, 'host')?.entries.keys() ?? [])];
}

test('an admin lets a host in itself', async () => {
  const { atFounder } = await town();
  assert.equal(await admit(claimBy(joiner), atFounder), undefined);
  assert.equal(atFounder.view.now().hosts.get(joiner.id)?.name, 'joiner');
});

test('a member has an admin let a host in, and leaves nothing behind', async () => {
  const { atFounder, atMember, settle, timers } = await town();
  serveAsAdmin(atFounder, throws);
  const admitted = admit(claimBy(joiner), atMember);
  await turn();
  assert.equal(claimsAt(atMember).length, 1);
  settle();
  await turn();
  settle();
  assert.equal(await admitted, undefined);
  assert.ok(atMember.view.now().hosts.has(joiner.id));
  assert.deepEqual([claimsAt(atMember), timers.size], [[], 0]);
});

test('a member that no admin answers says so, and leaves nothing behind', async () => {
  const { atMember, expire } = await town();
  const admitted = admit(claimBy(joiner), atMember);
  await turn();
  expire();
  assert.equal(await admitted, 'no-admin');
  assert.deepEqual(claimsAt(atMember), []);
});

test('a member takes no more than some claims at a time, and drops those of its last life', async () => {
  const { atMember, expire } = await town();
  const crowd = Array.from({ length: 20 }, (_, n) => admit(claimBy(fakeHost(`crowd ${n}`)), atMember));
  await turn();
  assert.equal(claimsAt(atMember).length, 16);
  await dropClaims(atMember.sheets);
  assert.deepEqual(claimsAt(atMember), []);
  expire();
  assert.deepEqual(await Promise.all(crowd), Array(20).fill('no-admin'));
});

test('an admin believes no claim that a member says: not a forged one, nor one with another token', async () => {
  const { atFounder, atMember, settle } = await town();
  serveAsAdmin(atFounder, throws);
  const wrong = claimBy(joiner, tokenOf('wrong', genesis));
  const forged = { ...claimBy(joiner), key: fakeHost('other').signer.key };
  const said = [wrong, forged, { nonsense: true }].map(
    (claim, n) => [`claim/${n}`, JSON.parse(JSON.stringify(claim))] as const,
  );
  await atMember.sheets.change('host', (draft) => {
    for (const [key, claim] of said) draft.put(key, claim);
  });
  settle();
  await turn();
  assert.deepEqual([...atFounder.view.now().hosts.keys()], [founder.id, member.id]);
  assert.equal(await admit(wrong, atMember), 'wrong-token');
});

test('a member answers no claims', async () => {
  const { atFounder, atMember, settle } = await town();
  serveAsAdmin(atMember, throws);
  await atFounder.sheets.change('host', (draft) => draft.put('claim/x', JSON.parse(JSON.stringify(claimBy(joiner)))));
  settle();
  await turn();
  assert.deepEqual(atMember.sheets.read(member.id, 'trust'), undefined);
});

test('a new admin keeps the warrants of all admins in its own sheet', async () => {
  const { atFounder, atMember, say, settle } = await town();
  for (const needs of [atFounder, atMember]) serveAsAdmin(needs, throws);
  const admin = { signer: founder.signer, judge: judgeOf(genesis, fakeVerify), sheets: atFounder.sheets.list('trust') };
  await say(promotion(admin, member.id));
  settle();
  await turn();
  settle();
  for (const { sheets } of [atFounder, atMember]) {
    assert.ok(sheets.read(member.id, 'trust')?.entries.has(`admin/${member.id}`));
  }
  const withoutFounder = judgeOf(
    genesis,
    fakeVerify,
  )(atFounder.sheets.list('trust').filter(({ owner }) => owner === member.id));
  assert.equal(withoutFounder.hosts.get(member.id)?.role, 'admin');
});
