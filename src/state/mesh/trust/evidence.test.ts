import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { contentAfter, nothing } from '../content.ts';
import type { StoredSheet } from '../environment.ts';
import { statement } from '../head.ts';
import type { Json } from '../sheets.ts';
import { admission, type Change } from './changes.ts';
import { parseEvidence } from './evidence.ts';
import { clusterIdOf } from './genesis.ts';
import { issue } from './statements.ts';
import { type FakeHost, fakeHost, fakeVerify, foundedBy } from './trust.testing.ts';
import { TrustView } from './view.ts';

const [founder, second, stranger] = [fakeHost('founder'), fakeHost('second'), fakeHost('stranger')];
const genesis = foundedBy(founder);
const cluster = clusterIdOf(genesis);
const seal = { hash: (text: string) => createHash('sha256').update(text).digest('hex'), verify: fakeVerify };

/** A trust sheet as its owner signs it. */
function signed(by: FakeHost, change: Change, seq = 1): StoredSheet {
  const entries: readonly (readonly [string, Json])[] = JSON.parse(JSON.stringify([...change]));
  const digest = contentAfter(nothing, { put: entries, gone: [] }, seal)?.digest ?? '';
  const mark = { owner: by.id, scope: 'trust', version: [1, seq], digest } as const;
  return { head: { ...mark, signature: by.signer.sign(statement(cluster, mark)) }, entries };
}

function ownersIn(...shown: readonly unknown[]): readonly string[] {
  return parseEvidence(JSON.parse(JSON.stringify(shown)), { genesis, seal }).map(({ head }) => head.owner);
}

const letsIn = admission({ key: stranger.signer.key, name: 'stranger' });
const warrant = issue(cluster, { key: second.signer.key, rank: 1 }, founder.signer);
const makesAdmin = new Map([[`admin/${second.id}`, warrant]]);

test('sheets that their owners signed are read, also of an admin whose warrant stands in its own', () => {
  assert.deepEqual(ownersIn(signed(founder, letsIn)), [founder.id]);
  assert.deepEqual(ownersIn(signed(second, makesAdmin)), [second.id]);
});

test('what was changed, is of another cluster, or signed by nobody known is left out', () => {
  const sheet = signed(founder, letsIn);
  const altered = { ...sheet, entries: [[`member/${second.id}`, { key: second.signer.key }]] };
  const renumbered = { ...sheet, head: { ...sheet.head, version: [9, 9] } };
  const another = { ...sheet, head: { ...sheet.head, owner: second.id } };
  assert.deepEqual(ownersIn(altered, renumbered, another, signed(stranger, letsIn)), []);
  const elsewhere = foundedBy(stranger);
  assert.deepEqual(parseEvidence([sheet], { genesis: elsewhere, seal }), []);
});

test('what is shown counts when it is newer than what is held, and not when it is older', () => {
  const removes = new Map([[`removed/${stranger.id}`, {}]]);
  const [old, current] = [signed(founder, letsIn, 1), signed(founder, new Map([...letsIn, ...removes]), 2)];
  const held = ({ head, entries }: StoredSheet) => ({ ...head, entries: new Map(entries) });
  const viewOf = (sheet: StoredSheet) => new TrustView(genesis, fakeVerify, () => [held(sheet)]);
  assert.ok(viewOf(old).now().hosts.has(stranger.id));
  assert.ok(!viewOf(old).with([current]).hosts.has(stranger.id));
  assert.ok(!viewOf(current).with([old]).hosts.has(stranger.id));
  assert.ok(viewOf(old).now().hosts.has(stranger.id), 'only when it is taken in');
});

test('a removed admin signs its trust sheet and nothing else', () => {
  const sheets = [signed(founder, new Map([...makesAdmin, ...letsIn, [`removed/${second.id}`, {}]]))];
  const view = new TrustView(genesis, fakeVerify, () =>
    sheets.map(({ head, entries }) => ({ ...head, entries: new Map(entries) })),
  );
  assert.deepEqual(
    [view.keyFor(second.id, 'trust'), view.keyFor(second.id, 'catalog')],
    [second.signer.key, undefined],
  );
  assert.deepEqual(
    [view.keyFor(stranger.id, 'trust'), view.keyFor(stranger.id, 'catalog')],
    [undefined, stranger.signer.key],
  );
});
