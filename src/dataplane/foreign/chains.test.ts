import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ForeignChain, guestsIn, guestsOf } from './chains.ts';
import { parseIptables, parseNftChains } from './listings.ts';

/** What `nft -j list ruleset` says of one chain. */
function nftChain(hook: string, policy: string, ...rules: readonly (readonly object[])[]): readonly ForeignChain[] {
  const place = { family: 'inet', table: 'filter' };
  const chain = { ...place, name: 'c', handle: 1, type: 'filter', hook, prio: 0, policy };
  const items = rules.map((expr, i) => ({ rule: { ...place, chain: 'c', handle: i + 2, expr } }));
  return parseNftChains(JSON.stringify({ nftables: [{ chain }, ...items] })).chains;
}

const is = (left: object, right: unknown, op = '==') => ({ match: { op, left, right } });
const iif = { meta: { key: 'iifname' } };
const oif = { meta: { key: 'oifname' } };
const to = { payload: { protocol: 'ip', field: 'daddr' } };
const state = { ct: { key: 'state' } };
const vxlan = 'udp dport 4789 ct state untracked accept';
const out = 'iifname "skein_gwbridge" oifname != "skein_gwbridge" accept';
const back = 'oifname "skein_gwbridge" ct state established,related accept';

const cases: readonly (readonly [what: string, chains: readonly ForeignChain[], rules: readonly string[]])[] = [
  ['accepts all', nftChain('input', 'accept'), []],
  ['drops what no rule accepts', nftChain('input', 'drop'), [vxlan]],
  ['drops what goes out', nftChain('output', 'drop'), [vxlan]],
  ['drops what is forwarded', nftChain('forward', 'drop'), [out, back]],
  ['rejects at its end', nftChain('input', 'accept', [{ reject: null }]), [vxlan]],
  [
    'drops TCP',
    nftChain('input', 'accept', [is({ payload: { protocol: 'tcp', field: 'dport' } }, 22), { drop: null }]),
    [],
  ],
  [
    'drops UDP',
    nftChain('input', 'accept', [
      is({ payload: { protocol: 'udp', field: 'dport' } }, { range: [1, 9999] }),
      { drop: null },
    ]),
    [vxlan],
  ],
  ['drops what is invalid', nftChain('input', 'accept', [is(state, 'invalid', 'in'), { drop: null }]), []],
  [
    'drops what is untracked',
    nftChain('input', 'accept', [is(state, ['invalid', 'untracked'], 'in'), { drop: null }]),
    [vxlan],
  ],
  [
    'maps states to verdicts',
    nftChain('input', 'accept', [{ vmap: { key: state, data: { set: [['invalid', { drop: null }]] } } }]),
    [vxlan],
  ],
  ['maps by a map with a name', nftChain('input', 'accept', [{ vmap: { key: iif, data: '@verdicts' } }]), [vxlan]],
  [
    'drops from another bridge',
    nftChain('forward', 'accept', [is(iif, 'docker0'), is(oif, 'docker1'), { drop: null }]),
    [],
  ],
  ['drops from our bridge by its name', nftChain('forward', 'accept', [is(iif, 'skein_gwbridge'), { drop: null }]), []],
  ['drops what goes to some addresses', nftChain('forward', 'accept', [is(to, '192.0.2.1'), { drop: null }]), []],
  [
    'drops what goes elsewhere',
    nftChain('forward', 'accept', [is(to, '192.0.2.1', '!='), { drop: null }]),
    [out, back],
  ],
  ['drops from bridges of a kind', nftChain('forward', 'accept', [is(iif, 'skein*'), { drop: null }]), [out, back]],
];

for (const [what, chains, rules] of cases) {
  test(`a chain that ${what} gets ${rules.length === 0 ? 'no rule' : rules.join(' and ')}`, () => {
    assert.deepEqual(
      guestsIn(chains, { port: 4789, exposed: false }).map(({ rule }) => rule),
      rules,
    );
  });
}

const onto = 'oifname "skein-*" accept';
const answers = 'iifname "skein-*" ct state established,related accept';
const exposedCases: readonly (readonly [what: string, chains: readonly ForeignChain[], rules: readonly string[]])[] = [
  ['drops what is forwarded', nftChain('forward', 'drop'), [out, back, onto, answers]],
  ['drops what no rule accepts', nftChain('input', 'drop'), [vxlan]],
  ['drops it by name', nftChain('forward', 'accept', [is(oif, 'skein-*'), { drop: null }]), []],
  ['drops it by the name of one', nftChain('forward', 'accept', [is(oif, 'skein-3d430f333'), { drop: null }]), []],
  [
    'drops onto interfaces of a kind',
    nftChain('forward', 'accept', [is(oif, 'ske*'), { drop: null }]),
    [out, back, onto, answers],
  ],
  ['drops what is new', nftChain('forward', 'accept', [is(state, 'new', 'in'), { drop: null }]), [out, onto]],
];

for (const [what, chains, rules] of exposedCases) {
  test(`of a host that is on a network, a chain that ${what} gets ${rules.length === 0 ? 'no rule' : rules.join(' and ')}`, () => {
    assert.deepEqual(
      guestsIn(chains, { port: 4789, exposed: true }).map(({ rule }) => rule),
      rules,
    );
  });
}

test('what was added is read back as what is wanted', () => {
  const ours = [is(oif, 'skein_gwbridge'), is(state, ['related', 'established'], 'in'), { accept: null }];
  const chain = {
    family: 'inet',
    table: 'filter',
    name: 'c',
    type: 'filter',
    hook: 'forward',
    prio: 0,
    policy: 'drop',
  };
  const rule = { family: 'inet', table: 'filter', chain: 'c', handle: 7, comment: 'skein', expr: ours };
  const { chains } = parseNftChains(JSON.stringify({ nftables: [{ chain }, { rule }] }));
  assert.deepEqual(guestsOf(chains), [
    { program: 'nft', family: 'inet', table: 'filter', chain: 'c', rule: back, after: 0, handle: 7 },
  ]);
});

/** As Docker 20.10 leaves it. */
const docker = `-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-ISOLATION-STAGE-1
-N DOCKER-ISOLATION-STAGE-2
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-USER -j RETURN
`;

test("beside Docker our rules go into the chain that it keeps for others'", () => {
  const guests = guestsIn(parseIptables(docker, 'iptables-nft'), { port: 4789, exposed: false });
  assert.deepEqual(
    guests.map(({ chain }) => chain),
    ['DOCKER-USER', 'DOCKER-USER'],
  );
  const accepting = docker.replace('-P FORWARD DROP', '-P FORWARD ACCEPT');
  assert.deepEqual(guestsIn(parseIptables(accepting, 'iptables-nft'), { port: 4789, exposed: false }), []);
  const blocking = `${accepting}-A FORWARD -d 192.0.2.1/32 -j DROP\n-A FORWARD -i skein_gwbridge -j REJECT\n`;
  assert.deepEqual(guestsIn(parseIptables(blocking, 'iptables-nft'), { port: 4789, exposed: false }), []);
  const leaving = `${accepting}-A FORWARD ! -d 192.0.2.1/32 -j DROP\n`;
  assert.equal(guestsIn(parseIptables(leaving, 'iptables-nft'), { port: 4789, exposed: false }).length, 2);
});

test('our rules stand after what the user has said, and before what would drop all', () => {
  /** `FIRST-LAST` number of others' rules before ours. */
  const spansIn = (chains: readonly ForeignChain[]) =>
    guestsIn(chains, { port: 4789, exposed: false }).map(({ least, most }) => `${least}-${most}`);
  const spans = (listing: string) => spansIn(parseIptables(listing, 'iptables-nft'));
  // As Docker's documentation says to do it: iptables -I DOCKER-USER.
  const users = docker.replace(
    '-A DOCKER-USER',
    '-A DOCKER-USER -i skein_gwbridge -d 192.0.2.0/24 -j DROP\n-A DOCKER-USER',
  );
  assert.deepEqual(spans(users), ['1-1', '1-1']);
  assert.deepEqual(spans(`${docker}-A DOCKER-USER -d 192.0.2.0/24 -j DROP\n`), ['0-0', '0-0']);
  assert.deepEqual(spans(docker.replace('-A DOCKER-USER -j RETURN\n', '')), ['0-0', '0-0']);
  const plain =
    '-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-A FORWARD -d 192.0.2.1/32 -j DROP\n-A FORWARD -i lo -j ACCEPT\n';
  assert.deepEqual(spans(plain), ['1-2', '1-2']);
  assert.deepEqual(spans(`${plain}-A FORWARD -j REJECT\n-A FORWARD -i lo -j ACCEPT\n`), ['1-2', '1-2']);
  const ufw =
    '-N ufw-user-forward\n-N ufw-reject-forward\n-A FORWARD -j ufw-user-forward\n-A FORWARD -j ufw-reject-forward\n';
  const filled = `${ufw}-A ufw-user-forward -o eth0 -j DROP\n-A ufw-reject-forward -j REJECT\n`;
  assert.deepEqual(spans(`-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n${filled}`), ['1-1', '1-1']);
  const counter = { counter: { packets: 0, bytes: 0 } };
  const forbidden = [is(to, '169.254.169.254'), { drop: null }];
  assert.deepEqual(spansIn(nftChain('forward', 'drop', [counter], forbidden)), ['2-2', '2-2']);
  assert.deepEqual(spansIn(nftChain('forward', 'drop', [counter, { return: null }], forbidden)), ['0-0', '0-0']);
});

test('tables of iptables are left to iptables', () => {
  const chain = {
    family: 'ip',
    table: 'filter',
    name: 'INPUT',
    type: 'filter',
    hook: 'input',
    prio: 0,
    policy: 'drop',
  };
  const { chains, ofIptables } = parseNftChains(JSON.stringify({ nftables: [{ chain }] }));
  assert.deepEqual({ chains, ofIptables }, { chains: [], ofIptables: ['ip'] });
});
