import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError } from '../../lib/errors.ts';
import { parseRuleset } from './ruleset.ts';

/** `nft -j list table ip skein`, nft 1.0.6. */
const golden = `{"nftables": [{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}}, {"table": {"family": "ip", "name": "skein", "handle": 1}}, {"set": {"family": "ip", "name": "peers", "table": "skein", "type": "ipv4_addr", "handle": 2, "elem": ["10.0.0.1"]}}, {"set": {"family": "ip", "name": "vnis", "table": "skein", "type": "integer", "handle": 3, "elem": [256, 300]}}, {"set": {"family": "ip", "name": "members", "table": "skein", "type": ["ipv4_addr", "integer"], "handle": 4, "elem": [{"concat": ["10.0.0.1", 256]}, {"elem": {"val": {"concat": ["10.0.0.2", 300]}, "expires": 29}}]}}, {"chain": {"family": "ip", "table": "skein", "name": "guard-in", "handle": 1, "type": "filter", "hook": "prerouting", "prio": -450, "policy": "accept"}}, {"rule": {"family": "ip", "table": "skein", "chain": "guard-in", "handle": 4, "comment": "abc", "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 4789}}, {"notrack": null}, {"accept": null}]}}, {"rule": {"family": "ip", "table": "skein", "chain": "guard-in", "handle": 6, "expr": [{"drop": null}]}}]}`;

test('a listing is read as far as it is of use', () => {
  assert.deepEqual(parseRuleset(golden), {
    tables: [{ family: 'ip', name: 'skein' }],
    sets: [
      { family: 'ip', table: 'skein', name: 'peers', elements: ['10.0.0.1'] },
      { family: 'ip', table: 'skein', name: 'vnis', elements: ['256', '300'] },
      { family: 'ip', table: 'skein', name: 'members', elements: ['10.0.0.1 . 256', '10.0.0.2 . 300'] },
    ],
    chains: [
      {
        family: 'ip',
        table: 'skein',
        name: 'guard-in',
        hook: { type: 'filter', hook: 'prerouting', priority: -450, policy: 'accept' },
        comments: ['abc', ''],
      },
    ],
  });
});

test('what is cut off or something else is a DecodeError', () => {
  for (let end = 0; end < golden.length; end++) assert.throws(() => parseRuleset(golden.slice(0, end)), DecodeError);
  const wrong = [
    '[]',
    '{}',
    '{"nftables": [{"table": {}}]}',
    '{"nftables": [{"rule": {"family": "ip", "table": "a", "chain": "b"}}]}',
  ];
  for (const text of wrong) assert.throws(() => parseRuleset(text), DecodeError);
  fc.assert(
    fc.property(fc.json(), (text) => {
      try {
        parseRuleset(text);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
      }
    }),
  );
});
