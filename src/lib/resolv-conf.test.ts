import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseResolvConf } from './resolv-conf.ts';

test('servers, search list and options are read as glibc does', () => {
  const text = `
# made by hand
nameserver 192.0.2.1 ; the first
nameserver\tfe80::1%eth0;the second
 nameserver 192.0.2.9
;nameserver 192.0.2.9
nameserver 192.0.2.1
nameserver resolver.example
nameserver
domain first.example
search a.example b.example #c
options ndots:2 rotate
options edns0
sortlist 10.0.0.0
`;
  assert.deepEqual(parseResolvConf(text), {
    nameservers: ['192.0.2.1', 'fe80::1%eth0'],
    search: ['a.example', 'b.example', '#c'],
    options: ['ndots:2', 'rotate', 'edns0'],
  });
  assert.deepEqual(parseResolvConf('search a.example\ndomain last.example').search, ['last.example']);
});

test('a file without sense or end names nobody, or few', () => {
  assert.deepEqual(parseResolvConf('\0\xff{}'), { nameservers: [], search: [], options: [] });
  const long = Array.from({ length: 10_000 }, (_, n) => `nameserver 10.0.${n >> 8}.${n & 255}`).join('\n');
  assert.equal(parseResolvConf(long).nameservers.length, 16);
});
