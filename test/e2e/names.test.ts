import assert from 'node:assert/strict';
import type { LabHost } from '../../src/lab/lab.ts';
import { idle, inside, inspectNetwork, type Steps, skein, startStore, stopStore, testInLab, until } from './testbed.ts';

const server = '169.254.53.53';

const title = 'names of containers';

function steps(step: Steps): void {
  step('a container is found by each of its names, from both hosts, whatever the case', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', '--subnet', '10.7.0.0/24', '--subnet', 'fd00:0:0:7::/64', 'demo');
    await skein(h1, 'network', 'create', 'other');
    await skein(h1, 'network', 'create', '--internal', 'inner');
    const id = await idle(h1, 'web', '--network', 'demo', '--network-alias', 'www', '--expose', 'http:80');
    const near = ['--network', 'other', '--dns', h1.address];
    await idle(h1, 'alone', ...near);
    h1.spawn([process.execPath, '-e', elsewhere, h1.address], { stdio: 'ignore', detached: true }).unref();
    await idle(h2, 'asker', '--network', 'demo');
    const short = id.slice(0, 12);
    const names = [
      'web',
      'www',
      short,
      'web.demo',
      `${short}.demo.skein.local`,
      'web.skein.local',
      'WEB.Demo.Skein.Local',
    ];
    for (const [host, container] of [
      [h1, 'web'],
      [h2, 'asker'],
    ] as const) {
      for (const name of names) assert.equal(await dig(host, container, name), '10.7.0.2', `${name} on ${host.name}`);
      assert.equal(await dig(host, container, 'web', 'AAAA', '+tcp'), 'fd00:0:0:7::2');
      assert.equal(await dig(host, container, '-x', '10.7.0.2'), 'web.demo.');
      assert.equal(await dig(host, container, '-x', 'fd00:0:0:7::2'), 'web.demo.');
      assert.equal(await dig(host, container, '_http._tcp.web', 'SRV'), '0 0 80 web.demo.');
    }
    assert.match(await whole(h2, 'asker', 'wEb.DEMO'), /^wEb\.DEMO\.\s/m, 'the case that it was asked in');
    assert.match(
      await whole(h2, 'asker', 'web.skein.local', 'MX'),
      /NOERROR[\s\S]*\sSOA\s/,
      'there is nothing of this type',
    );
    assert.match(await whole(h2, 'asker', 'nobody.skein.local'), /NXDOMAIN[\s\S]*\sSOA\s/);
    assert.match(await whole(h2, 'asker', '@fd53::53', 'web'), /\s10\.7\.0\.2$/m, 'over IPv6');
  });

  step('only who shares a network is seen, and from an internal one nobody outside is asked', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await idle(h2, 'shut', '--network', 'inner');
    assert.match(await whole(h1, 'alone', 'web.demo.skein.local'), /NXDOMAIN/);
    assert.equal(await dig(h1, 'alone', 'alone'), '10.0.0.2');
    assert.match(await whole(h2, 'shut', 'example.com'), /NXDOMAIN/);
    await until('another server answers', async () => (await dig(h1, 'alone', 'example.com')) === '192.0.2.1');
  });

  step('where names are shared all that have one answer', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', '--names', 'shared', '--subnet', '10.8.0.0/24', 'pool');
    for (const host of [h1, h2]) await idle(host, 'worker', '--network', 'pool');
    await until('both answer', async () => (await dig(h1, 'worker', 'worker')).split('\n').length === 2);
    const orders = await Promise.all(Array.from({ length: 16 }, () => dig(h1, 'worker', 'worker.pool')));
    assert.deepEqual(new Set(orders), new Set(['10.8.0.2\n10.8.0.3', '10.8.0.3\n10.8.0.2']), 'in any order');
  });

  step('a name goes with its endpoint, and what comes back is never answered with its old address', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await idle(h1, 'near', '--network', 'demo', '--dns', h1.address);
    for (let n = 50; n < 56; n++) {
      await skein(h1, 'rm', '-f', 'web');
      assert.match(await whole(h1, 'near', 'web.skein.local'), /NXDOMAIN/);
      await idle(h1, 'web', '--network', 'demo', '--ip', `10.7.0.${n}`);
      assert.equal(await dig(h1, 'near', 'web'), `10.7.0.${n}`);
      await until('the other host knows', async () => (await dig(h2, 'asker', 'web')) === `10.7.0.${n}`, 3_000);
    }
    const { Containers } = await inspectNetwork(h1, 'demo');
    assert.equal(Object.values(Containers).filter(({ Name }) => Name === 'web').length, 1);
  });

  step(
    'a container that gets another address is never answered with the old one once it is there again',
    async (lab) => {
      const h1 = lab.host('h1');
      const file = '/var/lib/skein/asked';
      await idle(h1, 'mover', '--network', 'demo');
      await skein(h1, 'exec', '-d', 'near', process.execPath, '-e', asking, file);
      await until('it is asked for', async () => (await h1.attempt(['test', '-s', file])).code === 0);
      const lives: { readonly from: number; readonly old: readonly string[]; readonly address: string }[] = [];
      let address = await dig(h1, 'near', 'mover');
      const addresses = [address];
      for (const taker of ['first', 'second', 'third']) {
        await skein(h1, 'stop', '-t', '0', 'mover');
        await idle(h1, taker, '--network', 'demo', '--ip', address);
        await skein(h1, 'start', 'mover');
        const from = Date.now();
        address = await dig(h1, 'near', 'mover');
        const { Containers } = await inspectNetwork(h1, 'demo');
        const now = Object.values(Containers).find(({ Name }) => Name === 'mover');
        assert.equal(`${address}/24`, now?.IPv4Address);
        lives.push({ from, old: addresses.slice(), address });
        addresses.push(address);
      }
      await h1.exec(['touch', `${file}.stop`]);
      await until('they have ended', async () => (await h1.attempt(['test', '-e', `${file}.ended`])).code === 0);
      const asked: readonly (readonly [number, string])[] = (await h1.exec(['cat', file])).stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      assert.equal(new Set(addresses).size, 4, `it got others: ${addresses.join()}`);
      for (const [n, { from, old, address: current }] of lives.entries()) {
        const before = lives[n + 1]?.from ?? Number.POSITIVE_INFINITY;
        const told = asked.filter(([at]) => at >= from && at < before).map(([, answer]) => answer);
        assert.ok(told.includes(current), `${told.length} questions`);
        assert.deepEqual(
          told.filter((answer) => old.includes(answer)),
          [],
        );
      }
    },
  );

  step('over 20 restarts of the daemon no lookup fails', async (lab, t) => {
    const h1 = lab.host('h1');
    await skein(h1, 'exec', '-d', 'near', process.execPath, '-e', looking, '/var/lib/skein/looked');
    const kills = 10;
    for (let n = 0; n < 2 * kills; n++) {
      await h1.daemon.kill(n % 2 === 0 ? 'SIGTERM' : 'SIGKILL');
      await h1.daemon.start();
    }
    await h1.exec(['touch', '/var/lib/skein/looked.stop']);
    const file = '/var/lib/skein/looked';
    await until('they have ended', async () => (await h1.attempt(['test', '-s', file])).code === 0, 30_000);
    const told = JSON.parse((await h1.exec(['cat', file])).stdout);
    t.diagnostic(JSON.stringify(told));
    assert.deepEqual(told.failures, []);
    // What a daemon that is killed has read goes with it: of each who asks one at most.
    assert.ok(told.again <= kills * told.workers, `${told.again} were asked again`);
    assert.ok(told.outside > 1_000);
    assert.ok(told.lookups >= 10_000 && told.beforeTheEnd > 1_000, `${told.beforeTheEnd} of ${told.lookups} lookups`);
  });

  step('without the store what was known is answered on, also by a daemon that starts then', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const isStale = async () => /^Stale: +since /m.test(await skein(h1, 'status', 'dns'));
    assert.ok(!(await isStale()));
    await stopStore(lab);
    assert.equal(await dig(h1, 'near', 'asker'), '10.7.0.3');
    await until('it is said', isStale);
    await h1.daemon.kill('SIGKILL');
    await h1.daemon.start();
    assert.equal(await dig(h1, 'near', 'asker.demo'), '10.7.0.3');
    assert.ok(await isStale());
    assert.equal(await dig(h1, 'near', 'web'), '10.7.0.55');
    assert.equal(await dig(h1, 'alone', 'other.example'), '192.0.2.1', 'its own resolvers are remembered');
    startStore(lab);
    await until('the store is back', async () => !(await isStale()), 30_000);
    assert.equal(await dig(h2, 'asker', 'web'), '10.7.0.55');
  });

  step('a lost host takes its names along', async (lab, t) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await h2.daemon.kill('SIGKILL');
    const gone = async () => /NXDOMAIN/.test(await whole(h1, 'near', 'asker.skein.local'));
    t.diagnostic(`gone after ${await until('its names are gone', gone, 45_000)} ms`);
    assert.equal(await dig(h1, 'worker', 'worker'), '10.8.0.2', 'the other holder stays');
    const places = ['gateway', `${h2.address}:5353`, '10.7.0.200'].flatMap((place) => ['--dns-listen', place]);
    await h2.exec(['skein', 'launch', '--detach', ...places]);
    await until('it is back', async () => (await dig(h1, 'near', 'asker')) === '10.7.0.3');
  });

  step('on the gateway bridge the host sees all networks that it is on, and a container its own', async (lab) => {
    const h2 = lab.host('h2');
    const question = ['dig', '@172.18.0.1', '+tries=1', 'shut.inner.skein.local'];
    assert.match((await h2.exec(question)).stdout, /\sA\s+10\.0\.1\.2$/m);
    assert.match((await h2.exec([...question, '+tcp'])).stdout, /\sA\s+10\.0\.1\.2$/m);
    assert.match(await inside(h2, 'asker', ...question), /NXDOMAIN/);
    assert.match(await inside(h2, 'asker', 'dig', '@172.18.0.1', 'web.demo'), /\sA\s+10\.7\.0\.55$/m);
    const circle = await h2.attempt(['skein', 'run', '-d', '--network', 'demo', '--dns', '172.18.0.1', '--', 'true']);
    assert.match(circle.stderr, /--dns 172\.18\.0\.1: this is where names are answered/);
  });

  step('the host and its neighbours are answered at its addresses, over IPv6 and at other ports too', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const bridge = await bridgeOf(h2);
    assert.equal(await asked(h2, `@${bridge}`), '10.0.1.2');
    assert.equal(await asked(h2, `@${bridge}`, '+tcp'), '10.0.1.2');
    for (const host of [h1, h2]) {
      for (const way of ['+notcp', '+tcp'])
        assert.equal(await asked(host, `@${h2.address}`, '-p', '5353', way), '10.0.1.2', host.name);
    }
    await h1.exec(['ip', 'address', 'add', '198.51.100.7/32', 'dev', 'lo']);
    await h2.exec(['ip', 'route', 'add', '198.51.100.7', 'via', h1.address]);
    assert.match(await asked(h1, '-b', '198.51.100.7', `@${h2.address}`, '-p', '5353'), /REFUSED/, 'from farther away');
  });

  step(
    'with a forged source, or by its own link-local one, a container sees no more than its networks',
    async (lab) => {
      const h2 = lab.host('h2');
      await h2.exec(['ip', 'netns', 'add', 'forger']);
      await skein(h2, 'attach', '--exit', '--network', 'demo', '/run/netns/forger');
      await idle(h2, 'both', '--network', 'demo');
      await skein(h2, 'network', 'connect', 'inner', 'both');
      const both = await dig(h2, 'asker', 'both');
      await skein(h2, 'expose', '--network', 'demo', '10.7.0.200');
      const from = (...words: readonly string[]) => asked(h2, '--in', 'forger', ...words);
      assert.match(await from(`@${server}`), /NXDOMAIN/, 'as itself');
      for (const address of [both, '10.7.0.200']) {
        await h2.exec(['ip', '-n', 'forger', 'address', 'add', `${address}/32`, 'dev', 'lo']);
        assert.match(await from('-b', address, `@${server}`), /timed out/, address);
        await h2.exec(['ip', '-n', 'forger', 'address', 'del', `${address}/32`, 'dev', 'lo']);
      }
      assert.equal(await asked(h2, '@10.7.0.200'), '10.0.1.2', 'the host, at its address on the network');
      assert.match(await from('@10.7.0.200'), /REFUSED/, 'a container, there');
      const bridge = await bridgeOf(h2);
      assert.match(await from(`@${bridge}`), /NXDOMAIN/);
      const links = (await h2.exec(['ip', '-n', 'forger', '-o', '-6', 'address', 'show', 'scope', 'link'])).stdout;
      const own = /(eth1)\s+inet6 (fe80::[0-9a-f:]+)/.exec(links);
      const linkLocal = `${own?.[2]}%${own?.[1]}`;
      assert.equal(await byLinkLocal(h2, linkLocal, bridge), 'rcode 3');
      await until('one that it takes is asked by', async () => {
        // What is not ours there is taken away every now and then.
        await h2.attempt(['ip', '-n', 'forger', 'address', 'add', 'fe80::77/64', 'dev', 'eth1', 'nodad']);
        const said = await byLinkLocal(h2, 'fe80::77%eth1', bridge);
        assert.doesNotMatch(said, /rcode/);
        return said === 'silence';
      });
      await skein(h2, 'hide', '--network', 'demo');
      await h2.exec(['ip', 'netns', 'del', 'forger']);
    },
  );
}
testInLab(title, {}, steps);

/** Answers alone. */
async function dig(host: LabHost, container: string, ...question: readonly string[]): Promise<string> {
  return await inside(host, container, 'dig', `@${server}`, '+short', '+tries=1', '+time=5', ...question);
}

async function whole(host: LabHost, container: string, ...question: readonly string[]): Promise<string> {
  return await inside(host, container, 'dig', `@${server}`, '+tries=1', '+time=9', ...question);
}

/** What a name on a network of `h2` alone is, for the host or (`--in`) a namespace: its address, or what dig says instead. */
async function asked(host: LabHost, ...words: readonly string[]): Promise<string> {
  const [flag, namespace = '', ...rest] = words;
  const [way, how] = flag === '--in' ? [['ip', 'netns', 'exec', namespace], rest] : [[], words];
  const { stdout } = await host.attempt([...way, 'dig', '+tries=1', '+time=2', 'shut.inner.skein.local', ...how]);
  return /\sA\s+([\d.]+)$/m.exec(stdout)?.[1] ?? stdout;
}

/** The IPv6 address of a host's gateway bridge. */
async function bridgeOf(host: LabHost): Promise<string> {
  const { stdout } = await host.exec(['ip', '-o', '-6', 'address', 'show', 'skein_gwbridge', 'scope', 'global']);
  return /inet6 ([0-9a-f:]+)/.exec(stdout)?.[1] ?? '';
}

/** The same question from one address, which dig cannot write. */
async function byLinkLocal(host: LabHost, from: string, to: string): Promise<string> {
  const script = `
const socket = require('dgram').createSocket('udp6');
const name = ['shut', 'inner', 'skein', 'local', ''].map((label) => String.fromCharCode(label.length) + label).join('');
const question = Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), Buffer.from(name), Buffer.from([0, 1, 0, 1])]);
const end = (said) => { console.log(said); process.exit(); };
socket.on('message', (answer) => end('rcode ' + (answer[3] & 15))).on('error', (error) => end(String(error)));
socket.bind(0, '${from}', () => socket.send(question, 53, '${to}'));
setTimeout(() => end('silence'), 2000);
`;
  return (await host.exec(['ip', 'netns', 'exec', 'forger', process.execPath, '-e', script])).stdout.trim();
}

/** A server that has 192.0.2.1 for every name. */
const elsewhere = `
const udp = require('dgram').createSocket('udp4', (question, { address, port }) => {
  const end = question.indexOf(0, 12) + 5;
  const head = Buffer.from([question[0], question[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1]);
  udp.send(Buffer.concat([head, question.subarray(12, end), record]), port, address);
}).bind(53, process.argv[1]);
`;

/**
 * Asks again and again until a file says to stop: as glibc does, each question for 5 s and twice at most. Every fortieth
 * over TCP, every fourth for a name that others have. Writes down what came of it.
 */
const looking = `
const dgram = require('dgram'), fs = require('fs'), net = require('net');
const [file] = process.argv.slice(1);
const told = { workers: 16, lookups: 0, outside: 0, overTcp: 0, beforeTheEnd: 0, again: 0, slowest: 0, failures: [] };
const question = (id, labels) => Buffer.concat([
  Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
  ...labels.map((label) => Buffer.from(String.fromCharCode(label.length) + label, 'latin1')), Buffer.from([0, 0, 1, 0, 1]),
]);
const isRight = (answer, asked, first) => answer.length === asked.length + 16 && (answer[3] & 15) === 0 &&
  answer.readUInt16BE(6) === 1 && answer.at(-4) === first && answer.readUInt16BE(0) === asked.readUInt16BE(0);
function once(asked, over) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => { close(); reject(new Error('silence')); }, 5000);
    const done = (answer) => { clearTimeout(timer); close(); resolve(answer); };
    const fail = (error) => { clearTimeout(timer); close(); reject(error); };
    let close;
    if (over === 'udp') {
      const socket = dgram.createSocket('udp4');
      close = () => socket.close();
      socket.on('error', fail).on('message', done).send(asked, 53, '${server}');
    } else {
      let bytes = Buffer.alloc(0);
      const socket = net.connect(53, '${server}');
      close = () => socket.destroy();
      socket.on('error', fail).on('close', () => fail(new Error('closed')));
      socket.on('data', (chunk) => { bytes = Buffer.concat([bytes, chunk]); if (bytes.length > 43) done(bytes.subarray(2)); });
      socket.write(Buffer.concat([Buffer.from([0, asked.length]), asked]));
    }
  });
}
async function worker() {
  for (;;) {
    const isOver = fs.existsSync(file + '.stop');
    if (!isOver) told.beforeTheEnd = told.lookups;
    if (isOver && told.lookups >= 10000) return;
    const id = told.lookups++ & 65535, over = told.lookups % 40 === 0 ? 'tcp' : 'udp', began = Date.now();
    if (over === 'tcp') told.overTcp++;
    const isOutside = told.lookups % 4 === 0, asked = question(id, isOutside ? ['n' + told.lookups, 'example'] : ['web', 'demo']);
    if (isOutside) told.outside++;
    try {
      const answer = await once(asked, over).catch(() => { told.again++; return once(asked, over); });
      if (!isRight(answer, asked, isOutside ? 192 : 10)) told.failures.push(answer.toString('hex'));
    } catch (error) { told.failures.push(over + ': ' + error.message); }
    told.slowest = Math.max(told.slowest, Date.now() - began);
    await new Promise((next) => setTimeout(next, 2));
  }
}
Promise.all(Array.from({ length: told.workers }, worker)).then(() => fs.writeFileSync(file, JSON.stringify(told)));
`;

/** Asks for mover every 5 ms and writes when it asked and what it was told. */
const asking = `
const fs = require('fs'), dns = require('dns'), [, file] = process.argv;
const resolver = new dns.promises.Resolver();
resolver.setServers(['${server}']);
const timer = setInterval(async () => {
  const at = Date.now();
  const answer = await resolver.resolve4('mover').then((all) => all.join(), (error) => error.code);
  fs.appendFileSync(file, JSON.stringify([at, answer]) + '\\n');
  if (!fs.existsSync(file + '.stop')) return;
  clearInterval(timer);
  fs.writeFileSync(file + '.ended', '');
}, 5);
`;
