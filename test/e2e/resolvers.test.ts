import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import type { LabHost } from '../../src/lab/lab.ts';
import { idle, inside, skein, testInLab, until } from './testbed.ts';

const file = '/etc/resolv.conf';

testInLab('containers ask by their own resolv.conf', {}, (step) => {
  step("glibc's resolver finds what is on the network, on both hosts, and dig does so by the file", async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    await skein(h1, 'network', 'create', '--subnet', '10.7.0.0/24', '--subnet', 'fd00:0:0:7::/64', 'demo');
    await idle(h1, 'web', '--network', 'demo', '--network-alias', 'www', '--expose', 'http:80');
    await idle(h2, 'asker', '--network', 'demo');
    await until('h2 knows web', async () => (await found(h2, 'asker', 'web')) === '10.7.0.2');
    for (const name of ['www', 'WEB.demo', 'web.skein.local', 'web.demo.skein.local.']) {
      assert.equal(await found(h2, 'asker', name), '10.7.0.2', name);
    }
    assert.equal(await found(h1, 'web', 'asker'), '10.7.0.3');
    const both = await inside(h2, 'asker', 'getent', 'ahosts', 'web.demo');
    assert.match(both, /^fd00:0:0:7::2 /m);
    assert.match(both, /^10\.7\.0\.2 /m);
    assert.match(await inside(h2, 'asker', 'getent', 'hosts', '10.7.0.2'), /web\.demo$/);
    assert.equal(await inside(h2, 'asker', 'dig', '+short', '_http._tcp.web', 'SRV'), '0 0 80 web.demo.');
    assert.equal((await h2.attempt(['skein', 'exec', 'asker', 'getent', 'hosts', 'nobody.skein.local'])).code, 2);
  });

  step("musl's resolver finds it too", async (lab, t) => {
    const program = muslProgram(t);
    const h2 = lab.host('h2');
    for (const name of ['web', 'web.demo', 'web.skein.local']) {
      const addresses = (await inside(h2, 'asker', program, name)).split('\n').sort();
      assert.deepEqual(addresses, ['10.7.0.2', 'fd00:0:0:7::2'], name);
    }
    assert.equal((await h2.attempt(['skein', 'exec', 'asker', program, 'nobody.skein.local'])).code, 1);
  });

  step(
    'the file follows the first network and the last, keeps what the host has, and what its user wrote',
    async (lab) => {
      const h1 = lab.host('h1');
      const dns = ['--dns-search', 'a.example', '--dns-option', 'timeout:3', '--dns', '192.0.2.53'];
      await idle(h1, 'late', '--network', 'skein_gwbridge', ...dns);
      const off = ['nameserver 192.0.2.53', 'search a.example', 'options timeout:3'].join('\n');
      const on = ['nameserver 169.254.53.53', 'search a.example', 'options timeout:3 ndots:0'].join('\n');
      const read = () => inside(h1, 'late', 'cat', file);
      assert.equal(await read(), off);
      const inode = () => inside(h1, 'late', 'stat', '-c', '%i', file);
      const before = await inode();
      await skein(h1, 'network', 'connect', 'demo', 'late');
      assert.equal(await read(), on);
      assert.equal(await found(h1, 'late', 'asker'), '10.7.0.3');
      await h1.daemon.kill('SIGKILL');
      await h1.daemon.start();
      await skein(h1, 'network', 'disconnect', 'demo', 'late');
      assert.equal(await read(), off);
      assert.equal(await inode(), before);
      await inside(h1, 'late', 'sh', '-c', `echo '# mine' >> ${file}`);
      await skein(h1, 'network', 'connect', 'demo', 'late');
      assert.equal(await read(), `${off}\n# mine`);
      await skein(h1, 'restart', '-t', '0', 'late');
      assert.equal(await read(), on, 'a new life has a new file');
    },
  );

  step('a network of IPv6 alone has its server there', async (lab) => {
    const h1 = lab.host('h1');
    await skein(h1, 'network', 'create', '--subnet', 'fd00:0:0:8::/64', 'six');
    await idle(h1, 'six1', '--network', 'six');
    await idle(h1, 'six2', '--network', 'six');
    assert.match(await inside(h1, 'six1', 'cat', file), /^nameserver fd53::53$/m);
    assert.match(await inside(h1, 'six1', 'getent', 'ahostsv6', 'six2'), /^fd00:0:0:8::3 /);
  });

  step('other names go to the servers of --dns, asked from the host, whose own loopback they may be', async (lab) => {
    const h1 = lab.host('h1');
    // It ends by itself: who kills nsenter leaves what runs in the lab to nobody.
    const server = h1.spawn([process.execPath, '-e', everybody], { stdio: ['pipe', 'ignore', 'ignore'] });
    try {
      await idle(h1, 'out', '--network', 'demo', '--dns', '127.0.0.1');
      await until('the server answers', async () => (await found(h1, 'out', 'www.example.org')) === '192.0.2.77');
      assert.equal(await found(h1, 'out', 'web.demo'), '10.7.0.2');
      const { code } = await h1.attempt(['skein', 'run', '--rm', '--dns', '169.254.53.53', '--', 'true']);
      assert.equal(code, 125);
    } finally {
      server.stdin?.end();
      await once(server, 'exit');
    }
  });

  step('50 addresses of one name come whole where they fit, and over TCP where they do not', async (lab) => {
    const [h1, h2] = [lab.host('h1'), lab.host('h2')];
    const addresses = Array.from({ length: 50 }, (_, n) => `192.0.2.${n + 1}`);
    await skein(h1, 'dns', 'add', '--network', 'demo', 'many', ...addresses);
    const asked = async (...how: readonly string[]) => {
      const answer = await inside(h2, 'asker', 'dig', '+short', ...how, 'many');
      return new Set(answer.split('\n').filter((line) => line !== ''));
    };
    await until('h2 knows them', async () => (await asked('+tcp')).size === 50);
    assert.deepEqual(await asked('+bufsize=1232', '+ignore'), new Set(addresses), 'over UDP alone');
    for (const how of ['+noedns', '+bufsize=512', '+tcp']) assert.deepEqual(await asked(how), new Set(addresses), how);
    // Records of 16 bytes behind a header and the question, 22 bytes; EDNS takes 11 more.
    for (const [how, fits] of [
      ['+noedns', 30],
      ['+bufsize=512', 29],
    ] as const) {
      assert.match(await inside(h2, 'asker', 'dig', how, '+ignore', 'many'), /^;; flags: qr aa tc/m, how);
      assert.equal((await asked(how, '+ignore')).size, fits, how);
    }
    const lines = (await inside(h2, 'asker', 'getent', 'ahostsv4', 'many')).split('\n');
    assert.deepEqual(new Set(lines.map((line) => line.split(/\s/, 1)[0])), new Set(addresses));
  });

  step('no question fails while a container leaves the first of its networks and comes back to it', async (lab, t) => {
    const h1 = lab.host('h1');
    for (const name of ['left', 'right']) await skein(h1, 'network', 'create', '--internal', name);
    await idle(h1, 'mover', '--network', 'left');
    await skein(h1, 'network', 'connect', 'right', 'mover');
    await skein(h1, 'dns', 'add', 'board', '192.0.2.8');
    const asker = h1.spawn(['skein', 'exec', '-i', 'mover', process.execPath, '-e', unceasing], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const said = asker.stdout === null ? assert.fail('no output') : text(asker.stdout);
    for (let n = 0; n < 8; n++) {
      await skein(h1, 'network', 'disconnect', 'left', 'mover');
      await skein(h1, 'network', 'connect', 'left', 'mover');
    }
    asker.stdin?.end();
    const told = JSON.parse(await said);
    t.diagnostic(JSON.stringify(told));
    assert.deepEqual(told.failures, []);
    assert.ok(told.answered > 1000);
    await skein(h1, 'dns', 'remove', 'board');
  });

  step('dnsperf loses no question of many clients, over UDP and TCP', async (lab, t) => {
    const directory = mkdtempSync(join(tmpdir(), 'skein-dnsperf-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const questions = join(directory, 'questions');
    writeFileSync(questions, ['web A', 'asker.demo A', 'web AAAA', 'nobody.skein.local A', 'many A'].join('\n'));
    chmodSync(directory, 0o755);
    for (const mode of ['udp', 'tcp']) {
      const load = ['-d', questions, '-m', mode, '-c', '8', '-q', '20', '-l', '2'];
      const told = await inside(lab.host('h2'), 'asker', 'dnsperf', '-s', '169.254.53.53', ...load);
      assert.match(told, /Queries lost:\s+0 /, told);
      assert.match(told, /Response codes:\s+NOERROR \d+ \(8.*NXDOMAIN \d+ \((19|20)/, told);
      t.diagnostic(`${mode}: ${/Queries per second:\s+(\S+)/.exec(told)?.[1]} a second`);
    }
    await skein(lab.host('h1'), 'dns', 'remove', '--network', 'demo', 'many');
  });

  step(
    'a name given by hand is found by every container or by those on its network, until it is taken back',
    async (lab) => {
      const [h1, h2] = [lab.host('h1'), lab.host('h2')];
      await skein(h1, 'dns', 'add', 'printer', '192.0.2.9');
      assert.equal(await found(h1, 'web', 'printer'), '192.0.2.9');
      assert.equal(await inside(h1, 'six1', 'dig', '+short', 'printer.skein.local'), '192.0.2.9');
      await skein(h1, 'dns', 'add', '--network', 'demo', '--port', 'ipp:631', 'scanner.office', '192.0.2.10');
      await until('h2 knows', async () => (await found(h2, 'asker', 'scanner.office')) === '192.0.2.10');
      assert.equal(await found(h2, 'asker', 'printer'), '192.0.2.9');
      assert.equal(
        await skein(h2, 'dns', 'lookup', '--from', 'asker', '--type', 'srv', '_ipp._tcp.scanner.office'),
        '0 0 631 scanner.office.demo.',
      );
      assert.equal(await inside(h1, 'six1', 'dig', '+short', 'scanner.office.skein.local'), '');
      await h1.daemon.kill('SIGKILL');
      await h1.daemon.start();
      assert.equal(await found(h1, 'web', 'printer'), '192.0.2.9');
      const listed = await skein(
        h2,
        'dns',
        'ls',
        '--filter',
        'kind=record',
        '--format',
        '{{.Name}} {{.Network}} {{.Host}}',
      );
      assert.equal(listed, 'printer * h1\nscanner.office demo h1');
      await assert.rejects(skein(h2, 'dns', 'remove', 'printer'), /the record printer was added on host h1/);
      await skein(h1, 'dns', 'remove', 'printer');
      assert.equal(await found(h1, 'web', 'printer.skein.local'), '');
      await until('h2 forgot it', async () => (await found(h2, 'asker', 'printer.skein.local')) === '');
      const { domains, servers, questions } = JSON.parse(await skein(h1, 'status', 'dns', '--format', 'json'));
      assert.deepEqual({ domains, servers }, { domains: ['skein.local'], servers: ['169.254.53.53', 'fd53::53'] });
      assert.ok(questions > 0);
    },
  );
});

/** What glibc finds for IPv4; nothing where there is nothing. */
async function found(host: LabHost, container: string, name: string): Promise<string> {
  const { stdout } = await host.attempt(['skein', 'exec', container, 'getent', 'ahostsv4', name]);
  return stdout.split(/\s/, 1)[0] ?? '';
}

/** A program that prints what musl's getaddrinfo gives. Containers have the host's root. */
function muslProgram(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'skein-musl-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'find.c'), muslSource);
  execFileSync('musl-gcc', ['-static', '-o', join(directory, 'find'), join(directory, 'find.c')]);
  return join(directory, 'find');
}

const muslSource = `
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all, *one;
	char text[64];
	if (argc != 2 || getaddrinfo(argv[1], 0, &hints, &all) != 0)
		return 1;
	for (one = all; one; one = one->ai_next) {
		getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
		puts(text);
	}
	return 0;
}
`;

/** Asks for one name until its input ends, each time from a new socket; what nobody answers within a second once more. */
const unceasing = `
const dgram = require('dgram');
const question = Buffer.from('0007 0100 0001 0000 0000 0000 05626f617264 00 0001 0001'.replaceAll(' ', ''), 'hex');
const told = { answered: 0, again: 0, failures: [] };
let goesOn = true;
process.stdin.on('end', () => { goesOn = false; }).resume();
const once = () => new Promise((resolve, reject) => {
  const socket = dgram.createSocket('udp4');
  const end = (settle) => (value) => { clearTimeout(timer); socket.close(); settle(value); };
  const timer = setTimeout(() => end(reject)(new Error('silence')), 1000);
  socket.on('error', end(reject)).on('message', end(resolve));
  socket.connect(53, '169.254.53.53', (error) => error ? end(reject)(error) : socket.send(question));
});
const again = (error) => {
  if (error.message !== 'silence') throw error;
  told.again++;
  return once();
};
async function worker() {
  while (goesOn) {
    const answer = await once().catch(again).catch((error) => error);
    if (answer instanceof Error) told.failures.push(answer.message);
    else if ((answer[3] & 15) !== 0 || answer[7] !== 1) told.failures.push(answer.toString('hex'));
    else told.answered++;
  }
}
Promise.all([worker(), worker()]).then(() => console.log(JSON.stringify(told)));
`;

/** Everything has one address, asked at the loopback. */
const everybody = `
const udp = require('dgram').createSocket('udp4');
udp.on('message', (question, peer) => {
  const end = question.indexOf(0, 12) + 5;
  const isA = question.readUInt16BE(end - 4) === 1;
  const head = Buffer.from([question[0], question[1], 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]);
  const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77]);
  udp.send(Buffer.concat([head, question.subarray(12, end), ...(isA ? [answer] : [])]), peer.port, peer.address);
}).bind(53, '127.0.0.1');
process.stdin.on('end', () => process.exit()).resume();
`;
