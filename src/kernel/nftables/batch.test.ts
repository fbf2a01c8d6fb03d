import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../lib/errors.ts';
import { isKernelError } from '../kernel-error.ts';
import { openTestNamespace, sys, type TestNamespace } from '../namespace.testing.ts';
import { NLM_F, nlmsg } from '../netlink/message.ts';
import { type Netlink, openNetlink, type Request } from '../netlink/socket.ts';
import { assemble } from './assembler.ts';
import { batch } from './batch.ts';
import { type Expression, NFT_CMP, VERDICT } from './expression.ts';
import { NF_NETDEV, nftChain, nftRule } from './message.ts';
import { NETLINK_NETFILTER } from './notification.ts';

/** What nft 1.0.6 says to the kernel; `scripts/capture-nftables.ts` wrote it down. */
const { sent: captured }: { sent: readonly { command: string; sent: string }[] } = JSON.parse(
  readFileSync(new URL('captured.json', import.meta.url), 'utf8'),
);
const sent = captured.map(({ command, sent: hex }) => ({ command, messages: nlmsg.decode(Buffer.from(hex, 'hex')) }));
const COMMENT = '0123456789abcdef';
const table = 'skein';
const RECORD = { noNullPrototype: true } as const;

/** Words of ours for one of nft's commands. */
function ours(command: string): readonly Request[] {
  const [, rule] = /^add rule netdev skein veth0 (.*) comment/.exec(command) ?? [];
  const expressions = rule && assemble(rule);
  if (expressions) return [batch.addRule({ table, chain: 'veth0', expressions, comment: COMMENT })];
  const hook = { hook: NF_NETDEV.INGRESS, device: 'lo', priority: 0, policy: VERDICT.DROP };
  if (command.startsWith('create chain')) return [batch.createChain({ table, name: 'veth0', hook })];
  if (command.startsWith('delete chain')) return batch.removeChain({ table, name: 'veth0' }).slice(1);
  return assert.fail(command);
}

test('we say to the kernel what nft says', () => {
  assert.ok(sent.length > 8);
  for (const { command, messages } of sent) {
    const bytes = [batch.begin, ...ours(command), batch.end].map(hexOf);
    // nft asks for what it adds to be told back to it.
    const golden = messages.map(({ type, flags, payload }) => hexOf({ type, flags: flags & ~NLM_F.ECHO, payload }));
    assert.deepEqual(bytes, golden, command);
  }
});

function hexOf({ type, flags = 0, payload }: Omit<Request, 'action'>): string {
  return `${type} ${flags | NLM_F.REQUEST} ${Buffer.from(payload).toString('hex')}`;
}

const bytes = (maxLength: number) =>
  fc.uint8Array({ minLength: 1, maxLength }).map((value): Uint8Array => Uint8Array.from(value));
const name = fc.string({ unit: fc.constantFrom('a', 'é', '-', '0'), minLength: 1, maxLength: 15 });
const u32 = fc.nat(0xffffffff);
const expression: fc.Arbitrary<Expression> = fc.oneof(
  fc.record({ kind: fc.constant('meta'), key: u32 }, RECORD),
  fc.record({ kind: fc.constant('payload'), base: u32, offset: u32, length: u32 }, RECORD),
  fc.record({ kind: fc.constant('cmp'), op: fc.constantFrom(...Object.values(NFT_CMP)), data: bytes(16) }, RECORD),
  fc.record({ kind: fc.constant('verdict'), code: fc.constantFrom(...Object.values(VERDICT)), chain: name }, RECORD),
);
const rule = fc.record(
  { table: name, chain: name, expressions: fc.array(expression), comment: name },
  { ...RECORD, requiredKeys: ['table', 'chain', 'expressions'] },
);
const hook = fc.record(
  { hook: fc.nat(1), device: name, priority: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), policy: fc.nat(1) },
  RECORD,
);
const chain = fc.record({ table: name, name, hook }, { ...RECORD, requiredKeys: ['table', 'name'] });

test('chains and rules survive the way out and back', () => {
  fc.assert(fc.property(rule, (value) => assert.deepEqual(nftRule.decode(nftRule.encode(value)), value)));
  fc.assert(fc.property(chain, (value) => assert.deepEqual(nftChain.decode(nftChain.encode(value)), value)));
});

test('a message that is cut off or garbage is decoded to something shorter or is a DecodeError', () => {
  const decoders = [(bytes: Uint8Array) => nftRule.decode(bytes), (bytes: Uint8Array) => nftChain.decode(bytes)];
  const tryAll = (payload: Uint8Array) => {
    for (const decode of decoders) {
      try {
        decode(payload);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
      }
    }
  };
  for (const { messages } of sent) {
    for (const { payload } of messages) for (let end = 0; end < payload.length; end++) tryAll(payload.subarray(0, end));
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), tryAll));
  // Behind its header it has attributes, and each but the last is there whole.
  const [golden] = ours(sent[1]?.command ?? '');
  assert.ok(golden);
  const between = new Set([4, 14, 15, 16, 26, 27, 28, 368, 390, 391, 392]);
  for (let end = 0; end < golden.payload.length; end++) {
    if (!between.has(end)) assert.throws(() => nftRule.decode(golden.payload.subarray(0, end)), DecodeError, `${end}`);
  }
});

test('a comment that nft could not read is refused', () => {
  const long = { table, chain: 'c', expressions: [], comment: 'x'.repeat(128) };
  assert.throws(() => nftRule.encode(long), RangeError);
});

test('a rule with words that are not known, or in no sensible order, is left to libnftables', () => {
  for (const rule of [
    '',
    'accept drop',
    'ip saddr 10.0.0.1',
    'ip saddr 10.0.0.0/24 accept',
    'ip saddr { 10.0.0.1, 10.0.0.2 } accept',
    'ip saddr fd00::1 accept',
    'ip saddr 10.0.0.1 ip6 saddr fd00::1 accept',
    'ip saddr 10.0.0.1 ether saddr 02:00:00:00:00:01 accept',
    'ip saddr 10.0.0.1  accept',
    'ip daddr 10.0.0.1 accept',
    'ip saddr 10.0.0.1 counter accept',
    'ether saddr 02:00:00:00:00 accept',
    'meta l4proto 255 accept',
    '@th,64,128 0x123456789012345678901234567890123 drop',
    'goto',
    'accept send',
    'icmpv6 type { nd-router-advert, nd-redirect } drop',
  ]) {
    assert.equal(assemble(rule), undefined, rule);
  }
});

describe('rules without libnftables', { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
  let namespace: TestNamespace;
  let nl: Netlink;

  before(() => {
    namespace = openTestNamespace();
    nl = namespace.inside(() => openNetlink(sys, { family: NETLINK_NETFILTER }));
    nft('add table netdev skein; add chain netdev skein send');
  });
  after(() => {
    nl.close();
    namespace.close();
  });

  const nft = (...args: readonly string[]) => namespace.run('nft', ...args);
  const send = (...requests: readonly Request[]) => nl.transaction(batch.begin, requests, batch.end);
  const rules = captured.filter(({ command }) => !command.startsWith('delete'));
  const hook = { hook: NF_NETDEV.INGRESS, device: 'lo', priority: 0, policy: VERDICT.DROP };
  const veth0 = { table, name: 'veth0', hook };

  test('are listed like those of nft', () => {
    for (const { command } of rules) nft(command);
    const expected = nft('list', 'ruleset');
    assert.match(expected, /policy drop/);
    send(...batch.removeChain(veth0), ...rules.flatMap(({ command }) => ours(command)));
    assert.equal(nft('list', 'ruleset'), expected);
    send(...batch.removeChain(veth0));
    send(...batch.removeChain(veth0));
    assert.doesNotMatch(nft('list', 'ruleset'), /veth0/);
  });

  test('are set all or none, and the error says which was refused', () => {
    const before = nft('list', 'ruleset');
    const goto = (chain: string) => assemble(`goto ${chain}`) ?? assert.fail();
    const add = (chain: string, to: string) => batch.addRule({ table, chain, expressions: goto(to) });
    const refused: readonly (readonly [requests: readonly Request[], code: string, action: RegExp])[] = [
      [
        [batch.createChain(veth0), add('veth0', 'nowhere'), add('veth0', 'send')],
        'ENOENT',
        /^add a rule to chain veth0/,
      ],
      [[batch.createChain(veth0), batch.createChain(veth0)], 'EEXIST', /^add chain veth0/],
      // Found only when all is looked at together: a chain that leads to itself.
      [
        [batch.createChain(veth0), add('veth0', 'send'), add('send', 'send')],
        'EMLINK',
        /^(begin to set rules|add a rule)/,
      ],
    ];
    for (const [requests, code, action] of refused) {
      assert.throws(
        () => send(...requests),
        (error) => isKernelError(error, code) && action.test(error.message),
      );
      assert.equal(nft('list', 'ruleset'), before);
    }
    send();
  });
});
