import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { silent } from '../../../lib/log.ts';
import { verify } from '../signing.ts';
import { Attempts } from '../trust/attempts.ts';
import { admission, removal, rotation } from '../trust/changes.ts';
import { type Claim, claimOf } from '../trust/claim.ts';
import { found, type Genesis } from '../trust/genesis.ts';
import type { MemberSide, Side, WaitingSide } from '../trust/handshake.ts';
import { type Reason, sentence } from '../trust/refused.ts';
import type { TrustSheet } from '../trust/statements.ts';
import { Token } from '../trust/token.ts';
import { tokenOf } from '../trust/trust.testing.ts';
import { judgeOf } from '../trust/trust.ts';
import type { Channel } from './channel.ts';
import { type Greeting, greet } from './greet.ts';
import { dialAs, Listening, listenAs, type RealHost, realHost, until } from './link.testing.ts';

const names = ['founder', 'member', 'joiner', 'stranger'] as const;

/** A cluster of two with real keys: its sheets are what all of them hold, and count as signed. */
function town() {
  const [founder, member, joiner, stranger] = [
    realHost('founder'),
    realHost('member'),
    realHost('joiner'),
    realHost('stranger'),
  ];
  const facts = { created: '2026-11-20T18:00:00.000Z', nonce: '0'.repeat(32), dataPort: 4789, underlay: 4 } as const;
  const genesis = found(facts, founder.signer);
  const judge = judgeOf(genesis, verify);
  const token = tokenOf('town', genesis);
  const entries = new Map<string, unknown>([
    ...rotation(judge([]), token.signer()),
    ...admission({ key: member.signer.key, name: 'member' }),
  ]);
  const sheets = (): TrustSheet[] => [
    { owner: founder.id, entries: new Map(JSON.parse(JSON.stringify([...entries]))) },
  ];
  const wire = () => sheets().map((sheet) => ({ ...sheet, entries: [...sheet.entries] }));
  const sideOf = ({ signer }: RealHost, other: Partial<MemberSide> = {}): MemberSide => ({
    ...{ kind: 'member', key: signer.key, genesis, empty: false },
    ...{ trust: () => judge(sheets()), trustWith: () => judge(sheets()), sheets: wire },
    ...other,
  });
  const waiting = ({ signer, name }: RealHost, own: Token = token): WaitingSide => ({
    ...{ kind: 'waiting', signer, name, token: own, addresses: ['192.0.2.1:2377'] },
    trustOf: (begin: Genesis, list) =>
      judgeOf(
        begin,
        verify,
      )(list.map((sheet) => ({ owner: Object(sheet).owner, entries: new Map(Object(sheet).entries) }))),
  });
  const admit = async ({ key, name }: Claim): Promise<Reason | undefined> => {
    for (const [id, said] of admission({ key, name })) entries.set(id, said);
    return undefined;
  };
  const remove = (host: RealHost) => {
    for (const [id, said] of removal({ signer: founder.signer, judge, sheets: sheets() }, new Set([host.id])))
      entries.set(id, said);
  };
  return { founder, member, joiner, stranger, genesis, token, sideOf, waiting, admit, remove };
}
type Town = ReturnType<typeof town>;

function greeterOf(side: Side, { admit }: Pick<Town, 'admit'>, { patience = 3000, attempts = new Attempts() } = {}) {
  return { side, verify, attempts, admit, learn: () => undefined, log: silent, patience };
}

/** The outcomes for the one that listens, of everyone who comes. */
async function door(t: TestContext, host: RealHost, side: Side, { admit }: Pick<Town, 'admit'>, patience?: number) {
  const outcomes: Greeting[] = [];
  const attempts = new Attempts();
  const listener = await listenAs(t, host, async (channel) => {
    const outcome = await greet(channel, greeterOf(side, { admit }, { attempts, ...(patience && { patience }) }));
    outcomes.push(outcome);
    if (outcome.kind === 'open') outcome.channel.send('state');
  });
  return { port: listener.port, outcomes };
}

async function visit(t: TestContext, host: RealHost, side: Side, port: number): Promise<Greeting> {
  return await greet(await dialAs(t, host, port), greeterOf(side, { admit: async () => 'no-admin' }));
}

test('a new host joins by a token through a member that asks an admin, and its link carries state at once', async (t) => {
  const { member, joiner, sideOf, waiting, admit } = town();
  const { port } = await door(t, member, sideOf(member), { admit });
  const outcome = await visit(t, joiner, waiting(joiner), port);
  assert.ok(outcome.kind === 'open');
  const listening = new Listening(outcome.channel);
  await until(() => listening.frames.length === 1);
  assert.deepEqual(listening.frames, ['state']);
  assert.equal((await visit(t, joiner, sideOf(joiner), port)).kind, 'open', 'as a member from now on');
});

test('who was not admitted, was removed or has a wrong token gets a reason and nothing else', async (t) => {
  const { member, joiner, stranger, sideOf, waiting, admit, remove } = town();
  const { port, outcomes } = await door(t, member, sideOf(member), { admit });
  assert.equal((await visit(t, joiner, waiting(joiner), port)).kind, 'open');
  remove(joiner);
  const expected: Reason[] = [];
  for (const [host, side, reason] of [
    [joiner, sideOf(joiner), 'removed'],
    [joiner, waiting(joiner), 'removed'],
    [stranger, sideOf(stranger), 'unknown'],
    [stranger, waiting(stranger, tokenOf('guess')), 'wrong-token'],
  ] as const) {
    const outcome = await visit(t, host, side, port);
    assert.equal(outcome.kind, 'refused');
    expected.push(reason);
  }
  await until(() => outcomes.length === 5);
  assert.deepEqual(
    outcomes.slice(1).map((outcome) => outcome.kind === 'refused' && outcome.reason),
    expected,
  );
  assert.match(
    sentence('192.0.2.1:2377', { by: 'them', reason: 'removed' }),
    /refuses this host: it was removed from the cluster/,
  );
});

test('a cluster that no admin of can be asked says so', async (t) => {
  const { member, joiner, sideOf, waiting } = town();
  const { port } = await door(t, member, sideOf(member), { admit: async () => 'no-admin' });
  const outcome = await visit(t, joiner, waiting(joiner), port);
  assert.equal(outcome.kind === 'refused' && outcome.reason, 'no-admin');
  const failing = await door(t, member, sideOf(member), { admit: () => Promise.reject(new Error('disk full')) });
  assert.equal((await visit(t, joiner, waiting(joiner), failing.port)).kind, 'refused');
});

test('tokens cannot be tried out: after a few wrong ones not even the right one is looked at', async (t) => {
  const { member, joiner, sideOf, waiting, admit } = town();
  const { port, outcomes } = await door(t, member, sideOf(member), { admit });
  const reasons: unknown[] = [];
  for (let n = 0; n < 8; n += 1) {
    const outcome = await visit(t, joiner, waiting(joiner, n < 7 ? tokenOf(`guess ${n}`) : undefined), port);
    reasons.push(outcome.kind === 'refused' ? outcome.reason : outcome.kind);
    await until(() => outcomes.length === n + 1);
  }
  assert.deepEqual(reasons, [...Array(5).fill('wrong-token'), ...Array(3).fill('too-many')]);
});

test('a claim that was made on one connection is worth nothing on another, also for the same host', async (t) => {
  const { member, joiner, sideOf, waiting, admit } = town();
  const { port, outcomes } = await door(t, member, sideOf(member), { admit });
  const [one, two] = [await dialAs(t, joiner, port), await dialAs(t, joiner, port)];
  const seen = new Listening(two);
  two.send({ t: 'claim', protocol: 1, claim: claimOf(waiting(joiner), one) });
  await until(() => seen.closed !== undefined);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.kind === 'refused' && outcome.reason),
    ['forged'],
  );
});

test('who stands between two hosts cannot pass on what one says to the other', async (t) => {
  const { member, joiner, stranger, sideOf, waiting, admit } = town();
  const { port, outcomes } = await door(t, member, sideOf(member), { admit });
  // The stranger takes the joiner's connection and opens its own to the member.
  const between = await listenAs(t, stranger, async (channel) => {
    const onward = await dialAs(t, stranger, port);
    const pass = (to: Channel) => ({
      received: (frame: unknown) => void to.send(frame),
      drained: () => undefined,
      closed: (why: string) => to.close(why),
    });
    channel.take(pass(onward));
    onward.take(pass(channel));
  });
  assert.notEqual((await visit(t, joiner, waiting(joiner), between.port)).kind, 'open');
  await until(() => outcomes.length === 1);
  assert.equal(outcomes[0]?.kind === 'refused' && outcomes[0].reason, 'forged');
});

test('waiting hosts with one token meet', async (t) => {
  const { member, joiner, waiting, admit } = town();
  const early = new Token(new Uint8Array(16).fill(1));
  const { port, outcomes } = await door(t, member, waiting(member, early), { admit });
  assert.equal((await visit(t, joiner, waiting(joiner, early), port)).kind, 'met');
  await until(() => outcomes[0]?.kind === 'met');
});

test('a peer that says nothing at first is not waited for', async (t) => {
  const { member, stranger, sideOf, admit } = town();
  const { port, outcomes } = await door(t, member, sideOf(member), { admit }, 200);
  const seen = new Listening(await dialAs(t, stranger, port));
  await until(() => outcomes.length === 1 && seen.closed !== undefined);
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ['ended'],
  );
  assert.match(seen.closed ?? '', /took too long/);
});

test('nonsense is refused, whoever says it', async (t) => {
  const { member, stranger, sideOf, admit } = town();
  const { port, outcomes } = await door(t, member, sideOf(member), { admit });
  for (const nonsense of [
    null,
    [],
    { t: 'welcome' },
    { t: 'proof', genesis: {}, sheets: [] },
    { t: 'admit', key: names },
  ]) {
    const seen = new Listening(await dialAs(t, stranger, port));
    const channel = await dialAs(t, stranger, port);
    const other = new Listening(channel);
    channel.send(nonsense);
    await until(() => other.closed !== undefined);
    assert.equal(seen.closed, undefined);
  }
  assert.ok(outcomes.every((outcome) => outcome.kind === 'refused' && outcome.reason === 'protocol'));
});
