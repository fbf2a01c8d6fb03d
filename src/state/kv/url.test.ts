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
    ['etcds://a,b/x', 'etcds://a:2379,b:2379/x'],
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

test('a password in the URL is read, and written nowhere', () => {
  const url = parseStoreUrl('etcd://me%40x:ge%2Fh:eim@a,b/p');
  assert.deepEqual(url, {
    ...{ kind: 'etcd', members: ['a:2379', 'b:2379'], root: '/p', tls: false },
    ...{ user: 'me@x', password: 'ge/h:eim' },
  });
  assert.equal(formatStoreUrl(url), 'etcd://a:2379,b:2379/p');
  for (const text of ['etcd://me:geheim@', 'etcd://me:geheim@a:x', 'redis://me:geheim@a', 'etcd://me:%zzgeheim@a']) {
    assert.throws(
      () => parseStoreUrl(text),
      (error: Error) => error.name === 'ParseError' && !error.message.includes('geheim'),
      text,
    );
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
  for (const scheme of ['consul', 'zk', 'redis']) {
    assert.throws(() => parseStoreUrl(`${scheme}://h:1`), {
      name: 'ParseError',
      message:
        /there are etcd:\/\/.*HOST:PORT\[,HOST:PORT…\]\[\/PREFIX\], etcds:\/\/ for TLS, local:\[PATH\], and mesh: for none$/,
    });
  }
  assert.throws(() => parseStoreUrl('mesh://h:1'), { name: 'ParseError', message: /nothing stands behind mesh:/ });
});
