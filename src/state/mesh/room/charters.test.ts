import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterIdOf, found, type Genesis } from '../trust/genesis.ts';
import { type FakeHost, fakeHost, fakeVerify, foundedBy } from '../trust/trust.testing.ts';
import { hex } from '../world.testing.ts';
import { charterOf, parseCharter } from './charter.ts';
import { Charters } from './charters.ts';
import { cheapToken } from './room.testing.ts';

const token = cheapToken.signer();
const [mine, founder, other] = ['mine', 'founder', 'other'].map(fakeHost);
assert.ok(mine && founder && other);

function sealOf({ signer }: FakeHost) {
  return { ...signer, hash: hex, verify: fakeVerify };
}

function shown(genesis: Genesis, by: FakeHost, hosts: readonly FakeHost[], n = 1) {
  const admitted = hosts.map(({ name, signer: { key } }) => ({ key, name }));
  return charterOf(genesis, { hosts: admitted, token, seal: sealOf(by), n });
}

function charters(): Charters {
  return new Charters({ self: mine?.id ?? '', seal: sealOf(mine ?? fakeHost('')), token });
}

test('a cluster lets this host in when its founder says so, and knows the token', () => {
  const genesis = foundedBy(founder);
  const kept = charters();
  assert.equal(kept.keep(shown(genesis, founder, [other])).admits, false);
  // What another signed says nothing, and what came before it is still known.
  assert.equal(kept.keep(shown(genesis, other, [mine])).admits, false);
  assert.equal(kept.keep(shown(genesis, founder, [other, mine], 2)).admits, true);
  assert.equal(kept.keep(shown(genesis, founder, [other])).admits, true, 'an older sheet outdid the newer');
  const strange = { hosts: [{ key: mine.signer.key, name: 'mine' }], token: other.signer, seal: sealOf(founder), n: 3 };
  assert.equal(charters().keep(charterOf(genesis, strange)).admits, false, 'with another token');
  assert.throws(
    () => kept.keep({ ...shown(genesis, founder, [mine]), genesis: { ...genesis, dataPort: 1 } }),
    /signed/,
  );
});

test('each charter of this host lets in those of the one before, and is of a later version', () => {
  const kept = charters();
  const genesis = foundedBy(mine);
  const admitted = ({ id, name, signer: { key } }: FakeHost) => new Map([[id, { key, name }]]);
  assert.deepEqual([...kept.write(genesis, admitted(founder)).hosts.keys()], [founder.id]);
  const { cluster, n } = kept.write(genesis, admitted(other));
  assert.equal(n, 2);
  const { trust } = parseCharter(cluster, sealOf(other));
  assert.deepEqual(new Set(trust.hosts.keys()), new Set([mine.id, founder.id, other.id]));
  // Nobody else knows better what it founded.
  assert.equal(kept.keep(shown(genesis, mine, [])).n, 2);
});

test('what is looked at is kept, however many others are shown', () => {
  const kept = charters();
  const own = clusterIdOf(kept.keep(shown(foundedBy(founder), founder, [mine])).cluster.genesis);
  const { signature: _, founder: __, ...facts } = foundedBy(other);
  const others = Array.from({ length: 20 }, (___, i) =>
    found({ ...facts, nonce: hex(String(i)).slice(0, 32) }, other.signer),
  );
  for (const genesis of others) {
    kept.keep(shown(genesis, other, [mine]));
    assert.ok(kept.get(own));
  }
  assert.equal(others.filter((genesis) => kept.get(clusterIdOf(genesis))).length, 7);
});
