import assert from 'node:assert/strict';
import { test } from 'node:test';
import { antispoof, sending } from './endpoint/antispoof.ts';
import type { NftChain } from './objects.ts';
import type { Step } from './plan.ts';
import { portRules } from './port-rules.ts';

const namespace = '1-3d430f3338';
const port = antispoof(namespace, 'veth0', '02:42:0a:00:00:11', [
  ...['10.0.0.11/24', '10.0.1.11/24', 'fd01::11/64', 'fd02::11/64'],
]);
const add = (object: NftChain): Step => ({ do: 'add', object });
const count = (chains: readonly (readonly unknown[])[]) => chains.map((requests) => requests.length);

test('what a port is given is in words that need no libnftables, whatever its addresses are', () => {
  assert.deepEqual(portRules([add(port)]).rest, []);
  // The chain, two addresses of IPv4 and what ARP may say of them, three of IPv6 and what may be advertised.
  assert.deepEqual(count(portRules([add(port)]).wanted), [1 + 2 + 2 + 3 + 1]);
  const none = antispoof(namespace, 'veth1', '02:42:0a:00:00:11', []);
  assert.deepEqual(count(portRules([add(none)]).wanted), [1]);
});

test('a chain that changes goes and comes at once, one that goes is removed', () => {
  const change: Step = { do: 'change', from: port, object: port };
  assert.deepEqual(count(portRules([change]).wanted), [2 + 9]);
  assert.deepEqual(count(portRules([{ do: 'remove', object: port }]).gone), [2]);
});

test('what is not at a port, and rules in other words, are left to libnftables', () => {
  const other = { ...port, rules: [...port.rules, 'counter'] };
  const steps = [...sending(namespace).map(add), add(other)];
  assert.deepEqual(portRules(steps), { gone: [], wanted: [], rest: steps });
});
