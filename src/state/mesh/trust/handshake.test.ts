import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { admission, removal, rotation } from './changes.ts';
import { claimOf, objection } from './claim.ts';
import type { Genesis } from './genesis.ts';
import { Handshake, type MemberSide, type Side, type Step, type WaitingSide } from './handshake.ts';
import { issue, type TrustSheet } from './statements.ts';
import type { Token } from './token.ts';
import { again, type FakeHost, fakeHost, fakeVerify, foundedBy, sheetOf, tokenOf } from './trust.testing.ts';
import { judgeOf } from './trust.ts';

const [founder, member, joiner, stranger] = [
  fakeHost('founder'),
  fakeHost('member'),
  fakeHost('joiner'),
  fakeHost('stranger'),
];
const genesis = foundedBy(founder);
const judge = judgeOf(genesis, fakeVerify);
const token = tokenOf('current', genesis);
const oldToken = tokenOf('old', genesis);

/** The founder's sheet: two tokens, one after the other, and who was let in. */
function sheets(...admitted: readonly FakeHost[]): TrustSheet[] {
  const first = rotation(judge([]), oldToken.signer());
  const then = rotation(judge([again(sheetOf(founder, first))]), token.signer());
  const members = admitted.map(({ signer, name }) => admission({ key: signer.key, name }));
  return [again(sheetOf(founder, then, ...members))];
}

/** Sheets as they go over the wire; these are taken to be signed. */
function wire(list: readonly TrustSheet[]): readonly unknown[] {
  return list.map(({ owner, entries }) => ({ owner, entries: [...entries] }));
}

function unwire(list: readonly unknown[]): TrustSheet[] {
  return list.flatMap((sheet) => {
    const { owner, entries } = Object(sheet);
    return typeof owner === 'string' && Array.isArray(entries) ? [{ owner, entries: new Map(entries) }] : [];
  });
}

function memberSide({ signer }: FakeHost, held: TrustSheet[], other: Partial<MemberSide> = {}): MemberSide {
  const side = { kind: 'member', key: signer.key, genesis, empty: false } as const;
  return {
    ...side,
    trust: () => judge(held),
    trustWith: (more) =>
      judge([...held, ...unwire(more).filter(({ owner }) => held.every((own) => own.owner !== owner))]),
    sheets: () => wire(held),
    ...other,
  };
}

function waitingSide({ signer, name }: FakeHost, own: Token, other: Partial<WaitingSide> = {}): WaitingSide {
  const side = {
    kind: 'waiting',
    signer,
    name,
    token: own,
    addresses: ['192.0.2.1:2377'],
  } as const;
  return { ...side, trustOf: (begin: Genesis, list) => judgeOf(begin, fakeVerify)(unwire(list)), ...other };
}

const binding = '1'.repeat(64);
const keyOf = (side: Side) => (side.kind === 'member' ? side.key : side.signer.key);

interface Meeting {
  /** How it ended for the one that dialled and for the other. */
  readonly ends: readonly string[];
  /** What was said, by name, the dialler's words behind `>`. */
  readonly said: string;
  readonly learnt: readonly Step[];
  readonly steps: readonly Step[];
}

/** Lets two sides talk until nothing more is said; what `admit` asks for is done by `onAdmit`. */
function meet(
  dialler: Side,
  other: Side,
  onAdmit: (handshake: Handshake) => readonly Step[] = (h) => h.admitted(),
): Meeting {
  const sides = [dialler, other].map(
    (side, place) =>
      new Handshake({
        side,
        channel: { peerKey: keyOf(place === 0 ? other : dialler), binding },
        verify: fakeVerify,
        judges: () => true,
      }),
  );
  const steps: Step[] = [];
  const ends = ['', ''];
  const said: string[] = [];
  const queue: (readonly [number, Step])[] = (sides[0]?.begin() ?? []).map((step) => [0, step]);
  for (let next = queue.shift(); next; next = queue.shift()) {
    const [from, step] = next;
    const to = 1 - from;
    steps.push(step);
    if (step.kind === 'send') {
      said.push(`${from === 0 ? '>' : '<'}${step.message.t}`);
      queue.push(...(sides[to]?.receive(JSON.parse(JSON.stringify(step.message))) ?? []).map((s) => [to, s] as const));
    } else if (step.kind === 'admit') {
      const handshake = sides[from];
      if (handshake) queue.push(...onAdmit(handshake).map((s) => [from, s] as const));
    } else if (step.kind !== 'learn') {
      assert.equal(ends[from], '', 'a handshake ends once');
      ends[from] = step.kind === 'refused' ? `${step.by}: ${step.reason}` : step.kind;
    }
  }
  return { ends, said: said.join(' '), learnt: steps.filter(({ kind }) => kind === 'learn'), steps };
}

const open = ['open', 'open'];
const refused = (reason: string) => [`them: ${reason}`, `us: ${reason}`];

test('two members open a link in three messages', () => {
  const { ends, said } = meet(memberSide(founder, sheets(member)), memberSide(member, sheets(member)));
  assert.deepEqual([ends, said], [open, '>hello <hello <welcome >welcome']);
});

test('a new host is let in by a token: it learns the genesis and the trust sheets', () => {
  const held = sheets(member);
  const { ends, said, learnt } = meet(waitingSide(joiner, token), memberSide(member, held), (handshake) => {
    held.splice(0, 1, ...sheets(member, joiner));
    return handshake.admitted();
  });
  assert.deepEqual([ends, said], [open, '>claim <proof <welcome >welcome']);
  assert.deepEqual(
    learnt.map((step) => step.kind === 'learn' && step.genesis),
    [genesis],
  );
});

test('a member that dials a waiting host lets it in as well', () => {
  const held = sheets();
  const { ends, said } = meet(memberSide(founder, held), waitingSide(joiner, token), (handshake) => {
    held.splice(0, 1, ...sheets(joiner));
    return handshake.admitted();
  });
  assert.deepEqual([ends, said], [open, '>hello <claim >proof >welcome <welcome']);
});

test('a host whose first answer was lost is let in again without a new admission', () => {
  const meeting = meet(waitingSide(joiner, token), memberSide(founder, sheets(joiner)), () =>
    assert.fail('asked again'),
  );
  assert.deepEqual(meeting.ends, open);
});

test('two waiting hosts with one token meet, two with different ones do not', () => {
  const early = tokenOf('early');
  const { ends, said } = meet(waitingSide(joiner, early), waitingSide(member, early));
  assert.deepEqual([ends, said], [['met', 'met'], '>claim <meet >met']);
  assert.deepEqual(
    meet(waitingSide(joiner, early), waitingSide(member, tokenOf('other'))).ends,
    refused('wrong-token'),
  );
});

test('a token that was made before the cluster knows it again by the secret alone', () => {
  const early = tokenOf('early');
  const held = [
    again(sheetOf(founder, rotation(judge([]), early.signer()), admission({ key: joiner.signer.key, name: 'joiner' }))),
  ];
  assert.deepEqual(meet(waitingSide(joiner, early), memberSide(founder, held)).ends, open);
});

test('wrong, old and other clusters’ tokens are refused by name, and nothing is told', () => {
  const other = foundedBy(stranger);
  for (const [wrong, reason] of [
    [tokenOf('wrong', genesis), 'wrong-token'],
    [tokenOf('wrong'), 'wrong-token'],
    [oldToken, 'old-token'],
    [tokenOf('current', other), 'other-cluster'],
  ] as const) {
    const { ends, said, learnt } = meet(waitingSide(joiner, wrong), memberSide(founder, sheets()), () =>
      assert.fail('let in'),
    );
    assert.deepEqual([ends, said, learnt], [refused(reason), '>claim <refused', []]);
  }
});

test('no proof is looked at while too many were wrong', () => {
  const channel = { peerKey: joiner.signer.key, binding };
  const claim = claimOf(waitingSide(joiner, token), channel);
  for (const side of [memberSide(founder, sheets()), waitingSide(founder, token)]) {
    const handshake = new Handshake({ side, channel, verify: () => assert.fail('looked at'), judges: () => false });
    const last = handshake.receive({ t: 'claim', protocol: 1, claim }).at(-1);
    assert.equal(last?.kind === 'refused' && last.reason, 'too-many');
  }
});

test('a member of another cluster gets nothing, and both know which cluster the other is of', () => {
  const other = foundedBy(stranger);
  const elsewhere: Partial<MemberSide> = { genesis: other, trust: () => judgeOf(other, fakeVerify)([]), empty: true };
  const { ends, said, steps } = meet(memberSide(stranger, [], elsewhere), memberSide(founder, sheets()));
  assert.deepEqual([ends, said], [['us: other-cluster', 'us: other-cluster'], '>hello <hello <refused >refused']);
  const told = steps.flatMap((step) => (step.kind === 'refused' ? [`${step.cluster?.empty}`] : []));
  assert.deepEqual(told.toSorted(), ['false', 'true']);
});

test('a host that was never admitted, or was removed, gets nothing', () => {
  const held = sheets(member);
  const admin = { signer: founder.signer, judge, sheets: held };
  const gone = [
    again(
      sheetOf(
        founder,
        new Map([...(held[0]?.entries ?? [])].map(([k, value]) => [k, Object(value)])),
        removal(admin, new Set([member.id])),
      ),
    ),
  ];
  const removed = meet(memberSide(member, held), memberSide(founder, gone));
  assert.deepEqual([removed.ends, removed.said], [refused('removed'), '>hello <hello <prove >welcome >proof <refused']);
  const unknown = meet(memberSide(stranger, held), memberSide(founder, held));
  assert.equal(unknown.ends[1], 'us: unknown');
  assert.ok(unknown.said.startsWith('>hello <hello <prove'));
  assert.ok(!unknown.said.includes('<proof'), 'no sheet to who was not admitted');
  const claimed = meet(waitingSide(member, token), memberSide(founder, gone), () => assert.fail('let in'));
  assert.deepEqual(claimed.ends, refused('removed'));
});

test('a member that was admitted while the other was away proves it, and nobody else can', () => {
  const away = memberSide(founder, sheets(), { trustWith: (more) => judge(unwire(more)) });
  const { ends, said, learnt } = meet(memberSide(joiner, sheets(joiner)), away);
  assert.deepEqual([ends, said], [open, '>hello <hello <prove >welcome >proof <welcome']);
  assert.equal(learnt.length, 1);
});

test('two who both have not heard of each other tell each other nothing', () => {
  const { ends, said } = meet(memberSide(joiner, sheets(joiner)), memberSide(member, sheets(member)));
  assert.ok(
    ends.every((end) => /refused|unknown/.test(end)),
    ends.join(),
  );
  assert.ok(!said.includes('proof'));
});

test('a false member cannot take in a host: it does not lead to the token’s fingerprint, or not to itself', () => {
  const own = foundedBy(stranger);
  const judgeOwn = judgeOf(own, fakeVerify);
  const held = [
    again(
      sheetOf(stranger, rotation(judgeOwn([]), token.signer()), admission({ key: joiner.signer.key, name: 'joiner' })),
    ),
  ];
  // It says yes to whatever is claimed.
  for (const [side, list] of [
    [{ genesis: own, trust: () => judgeOwn(held) }, held],
    [{ genesis, trust: () => judge(sheets(joiner)) }, sheets(joiner)],
  ] as const) {
    const hold = memberSide(stranger, [...list], side);
    const handshake = new Handshake({
      side: waitingSide(joiner, token),
      channel: { peerKey: stranger.signer.key, binding },
      verify: fakeVerify,
      judges: () => true,
    });
    handshake.begin();
    const steps = handshake.receive(
      JSON.parse(JSON.stringify({ t: 'proof', genesis: hold.genesis, sheets: hold.sheets() })),
    );
    assert.deepEqual(
      steps.map((step) => (step.kind === 'refused' ? step.reason : step.kind)),
      ['send', 'unproved'],
    );
  }
});

test('a former admin that shows how things were before it was removed cannot take in a host', () => {
  const warrant = issue(judge([]).cluster, { key: stranger.signer.key, rank: 1 }, founder.signer);
  const before = again(
    sheetOf(founder, rotation(judge([]), oldToken.signer()), new Map([[`admin/${stranger.id}`, warrant]])),
  );
  const own = again(sheetOf(stranger, admission({ key: joiner.signer.key, name: 'joiner' })));
  assert.equal(judge([before, own]).hosts.get(joiner.id)?.role, 'member');
  const channel = { peerKey: stranger.signer.key, binding };
  const handshake = new Handshake({
    side: waitingSide(joiner, token),
    channel,
    verify: fakeVerify,
    judges: () => true,
  });
  handshake.begin();
  const last = handshake
    .receive(JSON.parse(JSON.stringify({ t: 'proof', genesis, sheets: wire([before, own]) })))
    .at(-1);
  assert.equal(last?.kind === 'refused' && last.reason, 'unproved');
});

test('a claim is worth nothing on another channel, for another key, or when a word of it is changed', () => {
  const channel = { peerKey: joiner.signer.key, binding };
  const side = waitingSide(joiner, token);
  const claim = claimOf(side, channel);
  const answer = (said: object, on = channel) => {
    const acceptor = new Handshake({
      side: memberSide(founder, sheets()),
      channel: on,
      verify: fakeVerify,
      judges: () => true,
    });
    return acceptor.receive(JSON.parse(JSON.stringify({ t: 'claim', protocol: 1, claim: said }))).at(-1);
  };
  assert.equal(answer(claim)?.kind, 'admit');
  for (const last of [
    answer(claim, { ...channel, binding: '2'.repeat(64) }),
    answer(claim, { ...channel, peerKey: stranger.signer.key }),
    answer({ ...claim, name: 'other' }),
    answer({ ...claim, key: stranger.signer.key }, { ...channel, peerKey: stranger.signer.key }),
    answer({ ...claim, proof: claim.signature }),
    answer({ ...claim, later: 1 }),
  ]) {
    assert.deepEqual(last?.kind === 'refused' && last.reason, 'forged');
  }
});

test('an admin that is passed a claim judges it itself', () => {
  const claim = claimOf(waitingSide(joiner, token), { binding });
  assert.equal(objection(claim, judge(sheets()), fakeVerify), undefined);
  assert.equal(objection({ ...claim, key: stranger.signer.key }, judge(sheets()), fakeVerify), 'forged');
  assert.equal(
    objection(claimOf(waitingSide(joiner, oldToken), { binding }), judge(sheets()), fakeVerify),
    'old-token',
  );
});

test('a host that reaches itself is told so', () => {
  const side = memberSide(founder, sheets());
  assert.equal(meet(side, side).ends[0], 'us: self');
});

test('a reflected claim is refused', () => {
  const early = tokenOf('early');
  const side = waitingSide(joiner, early);
  const handshake = new Handshake({
    side,
    channel: { peerKey: stranger.signer.key, binding },
    verify: fakeVerify,
    judges: () => true,
  });
  const [first] = handshake.begin();
  assert.ok(first?.kind === 'send' && first.message.t === 'claim');
  const steps = handshake.receive({ t: 'meet', claim: first.message.claim });
  assert.deepEqual(
    steps.map((step) => (step.kind === 'refused' ? step.reason : step.kind)),
    ['send', 'forged'],
  );
});

/** Every message there is, in sense and nonsense; whoever sends them has no token and was not admitted. */
const word = fc.oneof(
  fc.constantFrom<unknown>(
    { t: 'hello', protocol: 1, cluster: judge([]).cluster, empty: true },
    { t: 'hello', protocol: 1, cluster: '0'.repeat(64), empty: true },
    { t: 'claim', protocol: 1, claim: claimOf(waitingSide(stranger, tokenOf('wrong', genesis)), { binding }) },
    { t: 'meet', claim: claimOf(waitingSide(stranger, tokenOf('wrong')), { binding }) },
    { t: 'met' },
    { t: 'prove' },
    { t: 'welcome' },
    { t: 'proof', genesis, sheets: wire(sheets(joiner, member)) },
    { t: 'proof', genesis: foundedBy(stranger), sheets: [] },
    { t: 'refused', reason: 'later' },
  ),
  fc.jsonValue(),
);

test('whatever a stranger says, in whatever order, it gets no link and no sheet', () => {
  const sides: readonly Side[] = [
    memberSide(founder, sheets(member)),
    waitingSide(joiner, token),
    waitingSide(joiner, tokenOf('early')),
  ];
  fc.assert(
    fc.property(fc.constantFrom(...sides), fc.boolean(), fc.array(word, { maxLength: 6 }), (side, begins, words) => {
      const handshake = new Handshake({
        side,
        channel: { peerKey: stranger.signer.key, binding },
        verify: fakeVerify,
        judges: () => true,
      });
      const steps = [...(begins ? handshake.begin() : []), ...words.flatMap((said) => handshake.receive(said))];
      for (const step of steps) {
        assert.ok(step.kind === 'send' || step.kind === 'refused', step.kind);
        if (step.kind === 'send')
          assert.ok(!['proof', 'welcome', 'met', 'meet'].includes(step.message.t), step.message.t);
      }
      assert.ok(steps.filter(({ kind }) => kind === 'refused').length <= 1);
    }),
    { numRuns: 500 },
  );
});
