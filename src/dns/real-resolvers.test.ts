import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silent } from '../lib/log.ts';
import { Forwarder } from './forwarder.ts';
import { type AskOptions, ask, type Told, tell } from './message.testing.ts';
import { decodeQuery, RCODE, smallestLimit } from './message.ts';
import { Reply } from './reply.ts';

/** Servers that others use, with names of their own, asked as they are for a container. */

const many = Array.from({ length: 200 }, (_, n) => `192.0.2.${n}`);

type LookUp = (name: string, options?: AskOptions & { readonly limit?: number }) => Promise<Told | number>;

/** @returns a sentence when the program is not there */
async function open(
  t: TestContext,
  ready: string,
  command: (port: number) => readonly string[],
): Promise<LookUp | string> {
  const port = await freePort();
  const [program = '', ...args] = command(port);
  const child = spawn(program, args, { stdio: 'ignore', cwd: tmpdir() });
  let missing = false;
  child.on('error', () => {
    missing = true;
  });
  t.after(() => child.kill('SIGKILL'));
  const forwarder = new Forwarder({ log: silent, deadline: 30_000, tcpPatience: 30_000 });
  t.after(() => forwarder.close());
  const reply = new Reply();
  const lookUp: LookUp = async (name, { limit = 65535, ...options } = {}) => {
    const request = ask(name, options);
    const query = decodeQuery(request);
    if (query?.kind !== 'query') return assert.fail();
    const resolvers = [{ address: '127.0.0.1', port }];
    const found = await forwarder.ask({ request, query, asker: 'a', resolvers });
    if (found.kind === 'failed') return found.rcode;
    reply.begin(request, query, limit);
    return tell(Buffer.from(reply.bytes.subarray(0, reply.foreign(found.answer, found.age))));
  };
  // A failure is believed for a second.
  for (const end = performance.now() + 60_000; typeof (await lookUp(ready)) === 'number'; await sleep(200)) {
    if (missing) return `${program} is not installed`;
    if (performance.now() > end) assert.fail(`${program} does not answer`);
  }
  return lookUp;
}

/** Below those that the kernel gives to sockets which do not ask for one. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 30_000);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
      return port;
    } catch {
      // Somebody has it.
    } finally {
      server.close();
    }
  }
}

function told(found: Told | number): Told {
  return typeof found === 'number' ? assert.fail(`rcode ${found}`) : found;
}

test('dnsmasq is asked, and over TCP for what it cuts', async (t) => {
  const records = many.map((address) => `--host-record=many.example,${address}`);
  const lookUp = await open(t, 'www.example', (port) => [
    ...['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--log-facility=/dev/null', '--pid-file'],
    ...['--no-resolv', '--no-hosts', '--listen-address=127.0.0.1', '--bind-interfaces', `--port=${port}`],
    ...['--host-record=www.example,192.0.2.1', '--local-ttl=60', ...records],
  ]);
  assert.ok(typeof lookUp === 'function', String(lookUp));
  assert.match(
    told(await lookUp('WWW.Example', { size: 1232 })).records[0].join(),
    /^WWW\.Example \d+ A 192\.0\.2\.1$/,
  );
  assert.equal(new Set(told(await lookUp('many.example')).records[0]).size, many.length);
  const few = told(await lookUp('many.example', { limit: smallestLimit }));
  assert.deepEqual([few.flags.includes('TC'), few.records[0].length], [true, 30]);
  assert.equal(await lookUp('elsewhere.example'), RCODE.REFUSED, 'it has nobody to ask');
});

test('unbound is asked, for types that nobody knows too', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'skein-unbound-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const config = join(folder, 'unbound.conf');
  const lookUp = await open(t, 'www.example', (port) => {
    const lines = [
      ...['directory: "."', 'chroot: ""', 'username: ""', 'pidfile: ""', 'use-syslog: no', 'do-daemonize: no'],
      ...['interface: 127.0.0.1', `port: ${port}`, 'module-config: "iterator"', 'local-zone: "example." static'],
      'local-data: "example. 300 IN SOA example. hostmaster.example. 1 3600 600 86400 30"',
      'local-data: "www.example. 300 IN A 192.0.2.1"',
      'local-data: "alias.example. 60 IN CNAME www.example."',
      `local-data: 'odd.example. 60 IN TYPE65280 \\# 4 c00cfeff'`,
      'local-zone: "refused.example." refuse',
    ];
    writeFileSync(config, ['server:', ...lines.map((line) => ` ${line}`), ''].join('\n'));
    return ['unbound', '-d', '-c', config];
  });
  if (typeof lookUp === 'string') return t.skip(lookUp);
  assert.match(told(await lookUp('Alias.Example')).records[0][0] ?? '', /^Alias\.Example \d+ CNAME www\.example$/i);
  const odd = told(await lookUp('odd.example', { type: 65280 }));
  assert.match(odd.records[0].join(), / 65280 c00cfeff$/, 'bytes that look like a pointer are none');
  const nothing = told(await lookUp('nothing.example'));
  assert.deepEqual([nothing.rcode, nothing.records[1].length], [RCODE.NXDOMAIN, 1]);
  assert.equal(await lookUp('x.refused.example'), RCODE.REFUSED);
});
