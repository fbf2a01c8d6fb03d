import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DecodeError } from '../../lib/errors.ts';
import { isKernelError } from '../kernel-error.ts';
import { openTestNamespace, sys, type TestNamespace } from '../namespace.testing.ts';
import { openNotifications } from '../netlink/socket.ts';
import { openNftables } from './nftables.ts';
import { decodeRuleChange, NETLINK_NETFILTER, NFNLGRP_NFTABLES } from './notification.ts';

describe('packet rules', { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
  let namespace: TestNamespace;

  before(() => {
    namespace = openTestNamespace();
  });
  after(() => namespace.close());

  test('all commands are done or none, and the error says what nft says', () => {
    const nft = namespace.inside(() => openNftables(sys));
    nft.run('make a table', ['add table ip t', 'add chain ip t c', 'add rule ip t c drop comment "mine"']);
    assert.deepEqual(nft.list('table ip t')?.chains, [{ family: 'ip', table: 't', name: 'c', comments: ['mine'] }]);
    assert.throws(
      () => nft.run('add to a set', ['add chain ip t d', 'add element ip t nowhere { 1 }']),
      (error) => isKernelError(error, 'ENOENT') && /^add to a set: .*nft: /.test(error.message),
    );
    assert.throws(
      () => nft.run('say nonsense', ['add nonsense']),
      (error) => isKernelError(error, 'EINVAL'),
    );
    assert.equal(nft.list('table ip t')?.chains.length, 1);
    nft.close();
    nft.close();
  });

  test('a context stays in the namespace that it was opened in', () => {
    const nft = namespace.inside(() => openNftables(sys));
    nft.run('make a table', ['add table ip here']);
    const home = openNftables(sys);
    assert.equal(home.list('table ip here'), undefined);
    assert.ok(nft.list('table ip here'));
    home.close();
    nft.close();
  });

  test('who listens hears which table lost something', () => {
    const [nft, told] = namespace.inside(
      () => [openNftables(sys), openNotifications(sys, [NFNLGRP_NFTABLES], { family: NETLINK_NETFILTER })] as const,
    );
    const removals = () => {
      const replies = told.drain();
      assert.notEqual(replies, 'lost');
      return replies === 'lost'
        ? []
        : replies
            .flatMap((reply) => decodeRuleChange(reply) ?? [])
            .flatMap(({ table, removed }) => (removed ? [table] : []));
    };
    nft.run('make', [
      'add table ip heard',
      'add chain ip heard c',
      'add set ip heard s { type ipv4_addr; elements = { 10.0.0.1 } }',
    ]);
    assert.deepEqual(removals(), []);
    nft.run('remove an element', ['delete element ip heard s { 10.0.0.1 }']);
    assert.deepEqual(removals(), ['heard']);
    nft.run('remove all', ['delete table ip heard']);
    assert.ok(removals().every((table) => table === 'heard'));
    told.close();
    nft.close();
  });

  test('a notification that is cut off is a DecodeError', () => {
    // RTM type of NFT_MSG_DELTABLE; nfgenmsg; NFTA_TABLE_NAME "skein"
    const type = (10 << 8) | 2;
    const payload = Buffer.from('02000000' + '0a000100736b65696e000000', 'hex');
    assert.deepEqual(decodeRuleChange({ type, payload }), { table: 'skein', removed: true });
    assert.equal(decodeRuleChange({ type: 16, payload }), undefined);
    for (let end = 0; end < payload.length - 2; end++) {
      // Without any attribute it says nothing; cut within one it is an error.
      if (end === 4) continue;
      assert.throws(() => decodeRuleChange({ type, payload: payload.subarray(0, end) }), DecodeError);
    }
  });
});
