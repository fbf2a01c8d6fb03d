import assert from 'node:assert/strict';
import type { Lab, LabHost } from '../../src/lab/lab.ts';
import { ask, idle, inside, serve, skein, testInLab, until } from './testbed.ts';

/** Bound of the checks at start, in milliseconds, times three. */
const bound = 3 * 5_000;

/** What a host says of its ways to others: `h2 mtu`, and the sentence. */
async function problems(host: LabHost): Promise<string> {
  return await skein(host, 'status', '--format', '{{range .paths}}{{.host}} {{.kind}}: {{.sentence}};{{end}}');
}

/** Both daemons begin anew while the rules, of nftables, are in force at the router. */
async function underRules(lab: Lab, rules: string, then: () => Promise<void>): Promise<void> {
  const { underlay } = lab;
  await underlay.exec(['nft', '-f', '-'], { input: `table inet way {\n${rules}\n}\n` });
  try {
    for (const host of lab.hosts) await host.daemon.kill('SIGTERM');
    await Promise.all(lab.hosts.map((host) => host.daemon.start()));
    await then();
  } finally {
    await underlay.exec(['nft', 'delete', 'table', 'inet', 'way']);
  }
}

async function untilRight(lab: Lab): Promise<void> {
  for (const host of lab.hosts)
    await until(`${host.name} finds all right`, async () => (await problems(host)) === '', 2 * bound);
}

for (const underlay of [4, 6] as const) {
  testInLab(`two hosts on two subnets over IPv${underlay}`, { underlay, subnets: 2 }, (step) => {
    step('O9, N5: a router between hosts is not seen inside: TTL 64, TCP, UDP, whole packets', async (lab) => {
      const [h1, h2] = [lab.host('h1'), lab.host('h2')];
      await skein(h1, 'network', 'create', '--subnet', '10.0.0.0/24', '--subnet', 'fd00:1::/64', '--ipv6', 'demo');
      await idle(h1, 'test1', '--network', 'demo');
      await idle(h2, 'test2', '--network', 'demo');
      await serve(h2, 'test2');
      const mtu = underlay === 4 ? 1450 : 1430;
      for (const [address, headers] of [
        ['10.0.0.3', 28],
        ['fd00:1::3', 48],
      ] as const) {
        await until(
          `${address} is answered`,
          async () => (await ask(h1, 'test1', address, 'tcp')) === 'hello over tcp',
        );
        assert.equal(await ask(h1, 'test1', address, 'udp'), 'hello over udp');
        const ping = ['ping', '-c1', '-W5', '-M', 'do', '-s', String(mtu - headers), address];
        assert.match(await inside(h1, 'test1', ...ping), / ttl=64 /);
      }
      await untilRight(lab);
    });

    step('a smaller MTU on the way is told with the figure that passes', async (lab) => {
      const small = underlay === 4 ? 1400 : 1450;
      // What the bridge cannot forward it drops: as a way does where nobody tells of what is too big.
      await underRules(
        lab,
        `chain f { type filter hook forward priority 0; meta length > ${small} udp dport 4789 drop; }`,
        async () => {
          for (const [host, other] of [
            ['h1', 'h2'],
            ['h2', 'h1'],
          ] as const) {
            const sentence = new RegExp(
              `^${other} mtu: packets of 1500 bytes do not pass between .* those of ${small} do`,
            );
            await until(`${host} says so`, async () => sentence.test(await problems(lab.host(host))), bound);
          }
        },
      );
    });

    if (underlay === 6) return;

    step('a port that is closed on the way is told by its number', async (lab) => {
      await underRules(lab, 'chain f { type filter hook forward priority 0; udp dport 4789 drop; }', async () => {
        const sentence = /^h2 silent: .*let UDP port 4789 pass both ways/;
        await until('h1 says so', async () => sentence.test(await problems(lab.host('h1'))), bound);
        assert.match(await skein(lab.host('h1'), 'host', 'ls'), / h2 .* alive \(silent\) /);
      });
    });

    step('a changed source address on the way is told', async (lab) => {
      const rule =
        'chain s { type nat hook postrouting priority 100; udp dport 4789 oifname "br1" snat ip to 192.168.206.1; }';
      await underRules(lab, rule, async () => {
        // Towards h2 alone: it sees where the packets come from, and h1 only that nothing comes back.
        const named = new RegExp(
          `^h1 nat: packets of h1 come from 192\\.168\\.206\\.1, and it advertises ${lab.host('h1').address}:.*UDP port 4789`,
        );
        await until('h2 says so', async () => named.test(await problems(lab.host('h2'))), bound);
        assert.match(await skein(lab.host('h2'), 'host', 'ls'), / h1 .* alive \(nat\) /);
        const sentence = /^h2 silent: .*source address/;
        await until('h1 says so', async () => sentence.test(await problems(lab.host('h1'))), bound);
      });
    });

    step('TCP that fails where ping passes is told with the command to try', async (lab) => {
      // Inner Ethernet, IPv6 and TCP behind outer UDP and VXLAN: a receiver drops what has a wrong checksum.
      const rule =
        'chain c { type filter hook forward priority 0; udp dport 4789 @th,288,8 6 meta length > 300 drop; }';
      await underRules(lab, rule, async () => {
        const sentence = /^h2 checksum: ping passes and TCP does not .*ethtool -K eth0 tx-checksum-ip-generic off/;
        await until('h1 says so', async () => sentence.test(await problems(lab.host('h1'))), bound);
      });
      await untilRight(lab);
    });
  });
}
