import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findEtcd } from '../../../lab/etcd.ts';
import { pause } from '../../../lib/backoff.ts';
import { parseStoreOption } from '../../../model/setting-values.ts';
import { freePort } from '../harness.contract.ts';
import { watching } from '../store.contract.ts';
import type { Store } from '../store.ts';
import { formatStoreUrl, parseStoreUrl } from '../url.ts';
import { readCredentials } from './credentials.ts';
import { openEtcd } from './etcd.ts';
import { Gateway } from './gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'skein-secured-'));
const file = (name: string) => join(folder, name);
const program = findEtcd();
const skip = noOpenssl();

function noOpenssl(): string | false {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'openssl is not on this machine';
  }
}

/** A store opened as the daemon opens it. */
function open(url: string, ...options: readonly string[]): Store {
  const parsed = parseStoreUrl(url);
  assert.equal(parsed.kind, 'etcd');
  if (parsed.kind !== 'etcd') throw new Error('not etcd');
  return openEtcd({
    members: parsed.members,
    url: formatStoreUrl(parsed),
    credentials: readCredentials(parsed, options.map(parseStoreOption)),
  });
}

async function until<T>(act: () => Promise<T>, milliseconds = 15_000): Promise<T> {
  const { signal } = new AbortController();
  for (const deadline = Date.now() + milliseconds; ; await pause(50, signal)) {
    try {
      return await act();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

interface Member {
  readonly process: ChildProcess;
  readonly client: string;
}

function startMember(
  name: string,
  urls: { client: string; peer: string; cluster: string },
  more: readonly string[],
): Member {
  const { client, peer, cluster } = urls;
  const child = spawn(
    program ?? '',
    [
      ...['--name', name, '--data-dir', file(name), '--log-level', 'error'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster', cluster],
      ...more,
    ],
    { stdio: 'ignore' },
  );
  return { process: child, client };
}

async function end(member: Member | undefined): Promise<void> {
  if (member === undefined || member.process.exitCode !== null || member.process.signalCode !== null) return;
  const ended = once(member.process, 'exit');
  member.process.kill('SIGKILL');
  await ended;
}

function makeCertificates(): void {
  const openssl = (...args: readonly string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  for (const ca of ['ca', 'other']) {
    openssl('req', '-x509', ...key, '-subj', `/CN=${ca}`, '-keyout', `${ca}.key`, '-out', `${ca}.pem`);
  }
  // etcd's gateway asks the member itself with the server's certificate: it has to do for a client too.
  writeFileSync(file('server.ext'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
  for (const name of ['client', 'named']) writeFileSync(file(`${name}.ext`), 'extendedKeyUsage=clientAuth\n');
  for (const [name, subject] of Object.entries({ server: '/CN=server', client: '/O=skein', named: '/CN=named' })) {
    openssl('req', ...key, '-subj', subject, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '2', '-extfile', `${name}.ext`];
    openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.pem`);
  }
}

after(() => rmSync(folder, { recursive: true, force: true }));

describe('etcd with client certificates and passwords', { skip }, () => {
  let member: Member;
  let address = '';
  const authority = `kv.cacertfile=${file('ca.pem')}`;
  const identity = [authority, `kv.certfile=${file('client.pem')}`, `kv.keyfile=${file('client.key')}`];

  before(async () => {
    makeCertificates();
    address = `127.0.0.1:${await freePort()}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const tls = ['--cert-file', file('server.pem'), '--key-file', file('server.key')];
    const clients = ['--client-cert-auth', '--trusted-ca-file', file('ca.pem'), '--auth-token-ttl', '1'];
    const urls = { client: `https://${address}`, peer, cluster: `secured=${peer}` };
    member = startMember('secured', urls, [...tls, ...clients]);
    const store = open(`etcd://${address}`, ...identity);
    await until(() => store.list('/'));
    await store.close();
  });
  after(() => end(member));

  test('a certificate of the right authority is let in, by either scheme', async () => {
    for (const scheme of ['etcd', 'etcds']) {
      const store = open(`${scheme}://${address}`, ...identity);
      await store.commit([], [{ kind: 'put', key: '/s/a', value: scheme }]);
      const [item] = (await store.list('/s/')).items;
      assert.equal(item?.value, scheme);
      await store.close();
    }
  });

  test('no certificate, an unknown authority and cleartext are refused with a sentence', async () => {
    const table: [string, readonly string[], RegExp][] = [
      [`etcds://${address}`, [authority], /certificate required|bad certificate|handshake|closed|ECONNRESET/i],
      [
        `etcd://${address}`,
        [...identity.slice(1), `kv.cacertfile=${file('other.pem')}`],
        /unable to verify|self.signed|issuer|signature/i,
      ],
      [`etcd://${address}`, [], /HTTP status 400|other side closed|Parse Error|ECONNRESET/i],
    ];
    for (const [url, options, message] of table) {
      const store = open(url, ...options);
      await assert.rejects(store.list('/'), message);
      await store.close();
    }
  });

  test('with logins asked for, a user writes, and goes on when the token has expired and the user was changed', async () => {
    const admin = new Gateway({ members: [address], url: 'x', credentials: credentialsOf(identity) });
    const post = (path: string, body: object) => admin.call(`/v3/auth/${path}`, body, { repeatable: true });
    const b64 = (text: string) => Buffer.from(text).toString('base64');
    await post('user/add', { name: 'root', password: 'r' });
    await post('role/add', { name: 'root' });
    await post('user/grant', { user: 'root', role: 'root' });
    await post('user/add', { name: 'skein', password: 'geheim@1' });
    await post('role/add', { name: 'skein' });
    const perm = { permType: 'READWRITE', key: b64('/skein/'), range_end: b64('/skein0') };
    await post('role/grant', { name: 'skein', perm });
    await post('user/grant', { user: 'skein', role: 'skein' });
    const early = open(`etcd://skein:geheim%401@${address}`, ...identity);
    // Before logins are asked for, none is needed; after that the same client logs in.
    await early.list('/skein/');
    await post('enable', {});
    await admin.close();
    await early.commit([], [{ kind: 'put', key: '/skein/a', value: '1' }]);
    await early.close();

    writeFileSync(file('password'), 'geheim@1\n', { mode: 0o600 });
    const store = open(`etcd://${address}`, ...identity, 'kv.user=skein', `kv.passwordfile=${file('password')}`);
    const put = (value: string) => store.commit([], [{ kind: 'put', key: '/skein/a', value }]);
    const watch = watching(store, '/skein/');
    assert.equal(await watch.next(), 'snapshot /skein/a=1');
    const session = await store.openSession(2_000);
    await put('2');
    assert.equal(await watch.next(), 'put /skein/a=2');
    const { signal } = new AbortController();
    // A second without a call, and etcd has forgotten the token; a watch and a session outlive it.
    await pause(2_500, signal);
    await put('3');
    assert.equal(await watch.next(), 'put /skein/a=3');
    await pause(6_000, signal);
    assert.equal(session.lost.aborted, false);

    const root = open(`etcd://root:r@${address}`, ...identity);
    await root.list('/');
    const later = new Gateway({
      members: [address],
      url: 'x',
      credentials: credentialsOf([...identity, 'kv.user=root', 'kv.password=r']),
    });
    await later.call('/v3/auth/role/add', { name: 'further' });
    await later.close();
    await put('4');
    assert.equal(await watch.next(), 'put /skein/a=4');
    await assert.rejects(store.list('/elsewhere/'), /permission denied/);
    await watch.stop();
    await session.close();
    await root.close();
    await store.close();

    const named = [authority, `kv.certfile=${file('named.pem')}`, `kv.keyfile=${file('named.key')}`];
    const refused = open(`etcd://skein:geheim%401@${address}`, ...named);
    await assert.rejects(refused.list('/skein/'), /only client certificates without a CommonName \(CN\): make one/);
    await refused.close();
    const wrong = open(`etcd://skein:falsch@${address}`, ...identity);
    await assert.rejects(wrong.list('/skein/'), (error: Error) => {
      assert.match(error.message, /authentication failed, invalid user ID or password/);
      assert.doesNotMatch(error.message, /falsch/);
      return true;
    });
    assert.doesNotMatch(JSON.stringify(wrong.status()), /falsch/);
    await wrong.close();
  });

  function credentialsOf(options: readonly string[]) {
    const url = parseStoreUrl(`etcd://${address}`);
    if (url.kind !== 'etcd') throw new Error('not etcd');
    return readCredentials(url, options.map(parseStoreOption));
  }

  test('options that do not make sense are named, and a password never', () => {
    writeFileSync(file('nonsense.pem'), 'no certificate');
    const table: [readonly string[], RegExp][] = [
      [['kv.cacertfile=/no/such'], /--cluster-store-opt kv\.cacertfile: cannot read \/no\/such: ENOENT/],
      [['kv.keyfile=/dev/null'], /kv\.certfile and kv\.keyfile belong together/],
      [
        [`kv.certfile=${file('nonsense.pem')}`, `kv.keyfile=${file('client.key')}`],
        /kv\.certfile=.*cannot be used for TLS/,
      ],
      [[`kv.certfile=${file('client.pem')}`, `kv.keyfile=${file('server.key')}`], /cannot be used for TLS: .*mismatch/],
      [['kv.password=geheim'], /give kv\.user too$/],
      [['kv.user=skein'], /give kv\.passwordfile or kv\.password too$/],
    ];
    for (const [options, message] of table) {
      assert.throws(
        () => credentialsOf(options),
        (error: Error) => {
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /geheim/);
          return true;
        },
      );
    }
  });
});

describe('an etcd of three members', { skip }, () => {
  const members: Member[] = [];
  before(async () => {
    const ports = await Promise.all(Array.from({ length: 6 }, freePort));
    const peers = ports.slice(3).map((port) => `http://127.0.0.1:${port}`);
    const cluster = peers.map((peer, i) => `m${i}=${peer}`).join(',');
    for (const [i, peer] of peers.entries()) {
      members.push(startMember(`m${i}`, { client: `http://127.0.0.1:${ports[i]}`, peer, cluster }, []));
    }
  });
  after(async () => {
    await Promise.all(members.map(end));
  });

  test('calls, watches and sessions outlive the death of the member that they spoke to', async () => {
    const hosts = members.map(({ client }) => client.replace('http://', ''));
    const store = open(`etcd://${hosts.join(',')}`);
    await until(() => store.commit([], [{ kind: 'put', key: '/three/a', value: '1' }]));
    const watch = watching(store, '/three/');
    assert.equal(await watch.next(), 'snapshot /three/a=1');
    // Longer than the others take to elect a leader.
    const session = await store.openSession(5_000);
    const first = store.status().members.findIndex(({ healthy }) => healthy);
    await end(members[first]);
    await until(() => store.commit([], [{ kind: 'put', key: '/three/a', value: '2' }]));
    assert.equal(await watch.next(), 'put /three/a=2');
    const { signal } = new AbortController();
    await pause(6_000, signal);
    assert.equal(session.lost.aborted, false);
    const { failingSince, members: told } = store.status();
    assert.equal(failingSince, undefined);
    assert.equal(told[first]?.healthy, false);
    assert.ok(told.some(({ healthy }) => healthy));
    await watch.stop();
    await session.close();
    await store.close();
  });
});
