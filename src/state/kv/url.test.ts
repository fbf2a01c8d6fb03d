import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatStoreUrl, parseStoreUrl } from './url.ts';

test('store URLs are read and written alike', () => {
  const right: readonly (readonly [text: string, canonical: string])[] = [
    ['etcd://10.0.0.1:2379', 'etcd://10.0.0.1:2379'],
    ['ETCD://a', 'etcd://a:2379'],
    ['etcd://a:1,b:2,a:1/', 'etcd://a:1,b:2'],
    ['etcd://[2001:db8::1]:2379,etcd-2.local/net/prod/', 'etcd://[2001:db8::1]:2379,etcd-2.local:2379/net/prod'],
    ['etcd://a/skein', 'etcd://a:2379'],
    ['local:', 'local:'],
    ['local:/var/lib/x.db', 'local:/var/lib/x.db'],
    ['local:///var/lib/x.db', 'local:/var/lib/x.db'],
  ];
  for (const [text, canonical] of right) {
    const url = parseStoreUrl(text);
    assert.equal(formatStoreUrl(url), canonical);
    assert.deepEqual(parseStoreUrl(formatStoreUrl(url)), url);
  }
});

test('what is no store URL is refused with the list of those that are', () => {
  const wrong = [
    '',
    'etcd',
    '10.0.0.1:2379',
    'etcd:',
    'etcd://',
    'etcd:///x',
    'etcd://:1',
    'etcd://a:0',
    'etcd://a:99999',
  ];
  wrong.push(
    'etcd://a:x',
    'etcd://a,,b',
    'etcd://::1:2379',
    'etcd://[::1',
    'etcd://u@a',
    'etcd://a/x y',
    'etcd://a/../b?q',
  );
  wrong.push(
    `etcd://${'a,'.repeat(5_000)}a`,
    `etcd://${Array.from({ length: 17 }, (_, i) => `h${i}`).join()}`,
    'local:x.db',
    'local://h/x',
  );
  for (const text of wrong) assert.throws(() => parseStoreUrl(text), { name: 'ParseError' }, text);
  for (const scheme of ['etcds', 'consul', 'zk', 'mesh', 'redis']) {
    assert.throws(() => parseStoreUrl(`${scheme}://h:1`), {
      name: 'ParseError',
      message: /there are etcd:\/\/HOST:PORT\[,HOST:PORT…\]\[\/PREFIX\] and local:\[PATH\]$/,
    });
  }
});
