import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { silent } from '../../lib/log.ts';
import { Forwarder } from './forwarder.ts';
import type { Resolver } from './host-resolvers.ts';
import { type AskOptions, ask, type Told, tell } from './message.testing.ts';
import { decodeQuery, RCODE, smallestLimit } from './message.ts';
import { Reply } from './reply.ts';

/** Servers that others use, with zones of their own, asked as a container would have them asked. */

const many = Array.from({ length: 200 }, (_, n) => `192.0.2.${n}`);

const unboundZones = [
  'local-zone: "example." static',
  'local-data: "example. 300 IN SOA example. hostmaster.example. 1 3600 600 86400 30"',
  'local-data: "www.example. 300 IN A 192.0.2.1"',
  'local-data: "alias.example. 60 IN CNAME www.example."',
  `local-data: 'odd.example. 60 IN TYPE65280 \\# 4 c00cfeff'`,
  'local-zone: "refused.example." refuse',
  ...many.map((address) => `local-data: "many.example. 60 IN A ${address}"`),
];

async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<number>();
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
  });
  return promise;
}

async function open(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'skein-resolvers-'));
  const [unbound, dnsmasq] = [await freePort(), await freePort()];
  const config = join(folder, 'unbound.conf');
  const lines = ['directory: "."', 'chroot: ""', 'username: ""', 'pidfile: ""', 'use-syslog: no', 'do-daemonize: no'];
  const place = ['interface: 127.0.0.1', `port: ${unbound}`, 'module-config: "iterator"', 'num-threads: 1'];
  writeFileSync(config, ['server:', ...[...lines, ...place, ...unboundZones].map((line) => ` ${line}`), ''].join('\n'));
  const stop = [
    start(['unbound', '-d', '-c', config]),
    // It asks nobody, and refuses what it does not know.
    start([
      'dnsmasq',
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--no-resolv',
      '--no-hosts',
      '--pid-file',
      '--listen-address=127.0.0.1',
      '--bind-interfaces',
      `--port=${dnsmasq}`,
      '--log-facility=/dev/null',
      '--address=/house.example/192.0.2.7',
    ]),
  ];
  t.after(() => {
    for (const one of stop) one.end();
    rmSync(folder, { recursive: true });
  });
  const forwarder = new Forwarder({ log: silent });
  t.after(() => forwarder.close());
  const at = (port: number): Resolver => ({ address: '127.0.0.1', port });
  const reply = new Reply();
  const lookUp = async (
    name: string,
    resolvers: readonly Resolver[],
    options: AskOptions & { limit?: number } = {},
  ) => {
    const request = ask(name, options);
    const query = decodeQuery(request);
    if (query?.kind !== 'query') return assert.fail();
    const found = await forwarder.ask({ request, query, asker: 'a', resolvers });
    if (found.kind === 'failed') return found.rcode;
    reply.begin(request, query, options.limit ?? 65535);
    return tell(Buffer.from(reply.bytes.subarray(0, reply.foreign(found.answer, found.age))));
  };
  for (const [one, name] of [
    [at(unbound), 'www.example'],
    [at(dnsmasq), 'house.example'],
  ] as const) {
    for (let tries = 0; typeof (await lookUp(name, [one], { id: tries })) === 'number'; tries++) {
      const missing = stop.find(({ failure }) => failure() !== undefined)?.failure();
      if (missing !== undefined) return missing;
      if (tries > 20) assert.fail(`${name} is not answered`);
      await sleep(300);
    }
  }
  return { unbound: at(unbound), dnsmasq: at(dnsmasq), lookUp };
}

function start([program = '', ...args]: readonly string[]) {
  const child = spawn(program, args, { stdio: 'ignore', cwd: tmpdir() });
  let failure: string | undefined;
  child.on('error', () => {
    failure = `${program} is not installed`;
  });
  return { end: () => void child.kill('SIGKILL'), failure: () => failure };
}

function told(found: Told | number): Told {
  return typeof found === 'number' ? assert.fail(`rcode ${found}`) : found;
}

test('unbound and dnsmasq are asked, and what they say is passed on', async (t) => {
  const world = await open(t);
  if (typeof world === 'string') return t.skip(world);
  const { unbound, dnsmasq, lookUp } = world;
  const both = [dnsmasq, unbound];

  const alias = told(await lookUp('Alias.Example', both));
  assert.match(alias.records[0][0] ?? '', /^Alias\.Example \d+ CNAME www\.example$/i, 'dnsmasq refused, unbound knows');
  const house = told(await lookUp('a.house.example', both, { size: 1232 }));
  assert.match(house.records[0].join(), /^a\.house\.example \d+ A 192\.0\.2\.7$/);

  const all = told(await lookUp('many.example', [unbound]));
  assert.equal(new Set(all.records[0]).size, many.length, 'by TCP, because unbound cuts it');
  const few = told(await lookUp('many.example', [unbound], { limit: smallestLimit }));
  assert.ok(few.flags.includes('TC') && few.records[0].length === 30);

  const odd = await lookUp('odd.example', [unbound], { type: 65280 });
  assert.match(told(odd).records[0].join(), / 65280 c00cfeff$/, 'bytes that look like a pointer are none');
  const nothing = told(await lookUp('nothing.example', [unbound]));
  assert.deepEqual([nothing.rcode, nothing.records[1].length], [RCODE.NXDOMAIN, 1]);
  assert.equal(await lookUp('x.refused.example', both), RCODE.REFUSED);
});
