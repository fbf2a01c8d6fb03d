import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { ParseError } from '../lib/errors.ts';
import { namesOf, parseFlags, parseSettings, parseSettingsFile, settingKeys, settings } from './settings.ts';
import { formatSettingsPage } from './settings-page.ts';

const path = '/etc/skein/daemon.json';
const from = (sources: { flags?: string[]; env?: Record<string, string>; file?: unknown }) =>
  parseSettings({
    flags: parseFlags(sources.flags ?? []),
    env: sources.env ?? {},
    file: sources.file === undefined ? undefined : { path, text: JSON.stringify(sources.file) },
  });

test('without anything every setting has its default', () => {
  const defaults = from({});
  assert.equal(defaults.clusterStore, undefined);
  assert.equal(defaults.dataPort, undefined);
  assert.equal(defaults.clusterAdvertise, undefined);
  assert.deepEqual(defaults.host, []);
  assert.deepEqual(defaults.defaultAddressPool, [{ range: '10.0.0.0/8', size: 24 }]);
  assert.deepEqual(defaults.gatewayAddressPool[0], { range: '172.18.0.0/16', size: 16 });
  assert.equal(defaults.gatewayAddressPool.length, 15);
});

test('a flag beats the environment, which beats the file, which beats the default', () => {
  const file = { 'data-port': 1 };
  const env = { SKEIN_DATA_PORT: '2' };
  const flags = ['--data-port', '3'];
  assert.equal(from({ file }).dataPort, 1);
  assert.equal(from({ file, env }).dataPort, 2);
  assert.equal(from({ file, env, flags }).dataPort, 3);
  assert.equal(from({ flags, file }).dataPort, 3);
  assert.equal(from({ env: { SKEIN_DATA_PORT: '' } }).dataPort, undefined);
});

test('what is on is taken back by a flag without a value, and by false in the environment and the file', () => {
  assert.equal(from({}).discovery, true);
  assert.equal(from({ flags: ['--no-discovery'] }).discovery, false);
  assert.equal(from({ env: { SKEIN_DISCOVERY: 'false' } }).discovery, false);
  assert.equal(from({ file: { discovery: false } }).discovery, false);
  assert.equal(from({ file: { discovery: 'true' }, flags: ['--no-discovery'] }).discovery, false);
  assert.throws(() => from({ file: { discovery: 1 } }), {
    message: `${path}: discovery: "1" is neither true nor false`,
  });
  assert.throws(() => from({ flags: ['--no-discovery=false'] }), { message: /does not take an argument/ });
});

test('words of the command line without a flag are other hosts', () => {
  assert.deepEqual(from({ flags: ['--peer', 'h1', 'h2', '--mesh-port', '7000', 'h3:1'] }).peer, [
    ...['h1:6783', 'h2:6783', 'h3:1'],
  ]);
  assert.deepEqual(from({ env: { SKEIN_PEERS: 'h1 h2' } }).peer, ['h1:6783', 'h2:6783']);
  assert.deepEqual(from({ file: { peers: ['h1'] } }).peer, ['h1:6783']);
  assert.throws(() => from({ flags: ['a b'] }), { message: /^--peer: "a b" is not HOST or HOST:PORT/ });
});

test("Docker's file means the same here", () => {
  const settings = from({
    file: {
      'cluster-store': 'etcd://10.0.0.1:2379,10.0.0.2:2379/lab',
      'cluster-advertise': 'eth0:2376',
      hosts: ['unix:///run/a.sock', 'unix:///run/b.sock'],
      'default-address-pools': [{ base: '10.10.0.0/16', size: 24 }],
      'log-level': 'debug',
    },
  });
  assert.equal(settings.clusterStore, 'etcd://10.0.0.1:2379,10.0.0.2:2379/lab');
  assert.equal(settings.clusterAdvertise, 'eth0:2376');
  assert.deepEqual(settings.host, ['/run/a.sock', '/run/b.sock']);
  assert.deepEqual(settings.defaultAddressPool, [{ range: '10.10.0.0/16', size: 24 }]);
  assert.equal(settings.logLevel, 'debug');
});

test('what may repeat is given several times by flag and separated by spaces in the environment', () => {
  const both = ['/a.sock', '/b.sock'];
  assert.deepEqual(from({ flags: ['-H', 'unix:///a.sock', '--host=unix:///b.sock'] }).host, both);
  assert.deepEqual(from({ env: { SKEIN_HOSTS: 'unix:///a.sock  unix:///b.sock' } }).host, both);
});

test('bad settings are refused, naming the place', () => {
  const table: [Parameters<typeof from>[0], RegExp][] = [
    [{ file: { 'cluster-stoer': 'x' } }, /^\/etc\/skein\/daemon\.json: "cluster-stoer" is not a setting; there are: c/],
    [{ file: { 'cluster-store-opts': { 'kv.cafile': '/a' } } }, /cluster-store-opts: "kv\.cafile" is not an option/],
    [{ flags: ['--cluster-store-opt', 'kv.keyfile=rel'] }, /kv\.keyfile: "rel" is not an absolute path/],
    [{ flags: ['--cluster-store', 'etcd://u:geheim@h 1'] }, /^--cluster-store: "etcd:\/\/u:…@h 1" is not a store/],
    [{ file: [] }, /daemon\.json: is not a JSON object/],
    [{ file: { 'data-port': true } }, /daemon\.json: "data-port": is neither a text nor a number/],
    [{ file: { 'data-port': [1, 2] } }, /daemon\.json: "data-port": takes one value, not a list/],
    [{ file: { 'data-port': 99999 } }, /daemon\.json: data-port: "99999" is not a port/],
    [{ file: { hosts: [{ a: {} }] } }, /"hosts": is neither a text nor a number/],
    [{ env: { SKEIN_LOG_LEVEL: 'loud' } }, /^SKEIN_LOG_LEVEL: "loud" is none of debug, info, warn, error/],
    [{ flags: ['--data-port', '04789'] }, /^--data-port: "04789" is not a port/],
    [{ flags: ['--data-port', '1', '--data-port', '2'] }, /^--data-port: is given more than once/],
    [{ flags: ['--cluster-store', 'etcd 1'] }, /^--cluster-store: "etcd 1" is not a store/],
    [{ flags: ['--cluster-advertise', '10.0.0.1:2376:1'] }, /^--cluster-advertise: .* is neither INTERFACE/],
    [{ flags: ['--cluster-advertise', 'eth0:'] }, /^--cluster-advertise/],
    [{ flags: ['--cluster-advertise', 'eth0:0'] }, /^--cluster-advertise: "0" is not a port/],
    [{ flags: ['--data-address', '10.0.0'] }, /^--data-address: "10\.0\.0" is not an IP address/],
    [{ flags: ['--host-name', 'a b'] }, /^--host-name: "a b" is not a name/],
    [{ flags: ['--state-dir', 'var'] }, /^--state-dir: "var" is not an absolute path/],
    [{ flags: ['--run-dir', `/${'x'.repeat(100)}`] }, /^--run-dir: .* is longer than the 80 bytes/],
    [{ flags: ['--state-dir', '/a/../b'] }, /is not an absolute path/],
    [{ flags: ['-H', 'tcp://0.0.0.0:2375'] }, /^--host: .* would need client certificates/],
    [{ flags: ['-H', 'fd://name'] }, /single sockets of systemd have no names here/],
    [{ flags: ['-H', 'unix://relative'] }, /is not unix:\/\/\/PATH/],
    [{ flags: ['--default-address-pool', '10.0.0.1/8,size=24'] }, /"10\.0\.0\.1\/8" is not a network/],
    [{ flags: ['--default-address-pool', '10.0.0.0/8,size=7'] }, /the size is not between 8 and 30/],
    [{ flags: ['--default-address-pool', '169.254.128.0/17,size=24'] }, /is in 169\.254\.0\.0\/16, where containers/],
    [{ flags: ['--gateway-address-pool', 'fd53::/64,size=80'] }, /is in fd53::\/64, where containers/],
    [{ flags: ['--dns-domain', 'a..b'] }, /^--dns-domain: "a\.\.b" is not a domain/],
    [{ flags: ['--dns-domain', `${'x'.repeat(60)}.${'y'.repeat(60)}`] }, /is not a domain/],
    [{ flags: ['--dns-listen', 'eth0'] }, /^--dns-listen: "eth0" is not gateway or ADDRESS/],
    [{ flags: ['--dns-listen', '10.0.0.1:0'] }, /^--dns-listen: "0" is not a port/],
    [{ flags: ['--dns-listen', '10.0.0.1:5:3'] }, /is neither gateway nor ADDRESS/],
    [{ flags: ['--dns-listen', '[::]:53'] }, /is every address of this host; name one/],
    [{ flags: ['--cluster-store', `etcd://${'x'.repeat(5000)}`] }, /is longer than 4096 characters/],
  ];
  for (const [sources, message] of table) {
    assert.throws(
      () => from(sources),
      (error) => error instanceof ParseError && message.test(error.message),
      String(message),
    );
  }
  assert.throws(() => parseSettingsFile('{', path), /daemon\.json: is not JSON/);
  assert.throws(() => parseSettingsFile(' '.repeat(300_000), path), /is longer than/);
  assert.throws(() => parseFlags(['--loud']), /the command line: Unknown option '--loud'/);
});

test('places of all kinds are understood', () => {
  for (const place of ['eth0', 'eth0:2376', '10.0.0.1', '10.0.0.1:2376', '[fd00::1]:2376', '[fd00::1]', 'fd00::1']) {
    assert.equal(from({ flags: ['--cluster-advertise', place] }).clusterAdvertise, place);
  }
});

test('whatever the texts are, settings are read or refused with a ParseError', () => {
  const flag = fc.constantFrom(...settingKeys.map((key) => `--${namesOf(key).flag}`));
  fc.assert(
    fc.property(fc.array(fc.tuple(flag, fc.string()), { maxLength: 4 }), (given) => {
      try {
        from({ flags: given.map(([name, text]) => `${name}=${text}`) });
      } catch (error) {
        assert.ok(error instanceof ParseError, String(error));
      }
    }),
  );
  fc.assert(
    fc.property(fc.json(), (text) => {
      try {
        parseSettingsFile(text, path);
      } catch (error) {
        assert.ok(error instanceof ParseError, String(error));
      }
    }),
  );
});

test('every default is a value that the setting itself takes', () => {
  for (const key of settingKeys) assert.deepEqual(settings[key].read(settings[key].default), settings[key].read([]));
});

test('docs/settings.md is what the table says', () => {
  const page = readFileSync(new URL('../../docs/settings.md', import.meta.url), 'utf8');
  assert.equal(page, formatSettingsPage(), 'run: node scripts/write-docs.ts');
});

test('where names are answered is a word or an address, at port 53 unless another is said', () => {
  const { dnsListen, dnsDomain } = from({
    env: { SKEIN_DNS_LISTENS: 'gateway gateway:5353 10.0.0.1 10.0.0.1:54 FD00::1 [fd00:0::1]:54' },
    flags: ['--dns-domain', 'Weave.Local.', '--dns-domain', 'skein.local'],
  });
  assert.deepEqual(
    dnsListen.map(({ address, port }) => `${address} ${port}`),
    ['gateway 53', 'gateway 5353', '10.0.0.1 53', '10.0.0.1 54', 'fd00::1 53', 'fd00::1 54'],
  );
  assert.deepEqual(dnsDomain, ['weave.local', 'skein.local']);
  assert.deepEqual(from({}).dnsDomain, ['skein.local']);
});
