import { readFileSync } from 'node:fs';
import { parseBody, parseInput } from '../src/adapters/api/parse.ts';
import { parsePlace as parseNamespacePlace } from '../src/cli/attach.ts';
import { parseEnvironmentFile } from '../src/cli/environment.ts';
import { parseFilters } from '../src/cli/listing.ts';
import { parsePorts } from '../src/cli/named-port.ts';
import { parsePruneFilter } from '../src/cli/network/prune.ts';
import { parseRestart } from '../src/cli/restart-policy.ts';
import { parseTarget } from '../src/cli/session.ts';
import { controlAnswer } from '../src/controllers/containers/control.ts';
import { parseExitRecord } from '../src/controllers/containers/exit-record.ts';
import { parseSignal } from '../src/controllers/containers/signal.ts';
import { parseGateway } from '../src/controllers/endpoints/exits.ts';
import { parseSandboxRecord } from '../src/controllers/endpoints/sandbox-record.ts';
import { parseIdentity } from '../src/controllers/hosts/identity.ts';
import { parseIntent } from '../src/controllers/networks/intents.ts';
import { mtuOption, parseOptions } from '../src/controllers/networks/options.ts';
import { parseDepartures } from '../src/daemon/departures.ts';
import { parseIptables, parseNftChains, parseNftTranslators } from '../src/dataplane/foreign/listings.ts';
import { parseGuests } from '../src/dataplane/foreign/record.ts';
import { parseStranger } from '../src/dataplane/probe/strangers.ts';
import { parseSocketName } from '../src/dataplane/socket-name.ts';
import { decodeForeign } from '../src/dns/foreign.ts';
import { decodeLookup } from '../src/dns/lookup.ts';
import { decodeQuery } from '../src/dns/message.ts';
import { decodeAttributes } from '../src/kernel/netlink/attribute.ts';
import { NLMSG, nlmsg, nlmsgerr } from '../src/kernel/netlink/message.ts';
import { NFT_MSG, nftChain, nftRule, nftRulePlace, nftSet, nftTable } from '../src/kernel/nftables/message.ts';
import { decodeRuleChange } from '../src/kernel/nftables/notification.ts';
import { parseRuleset } from '../src/kernel/nftables/ruleset.ts';
import { parseMappings } from '../src/kernel/program-text.ts';
import { ifaddrmsg } from '../src/kernel/route/addresses.ts';
import { tfilter } from '../src/kernel/route/filter.ts';
import { ifinfomsg } from '../src/kernel/route/link.ts';
import { fdbmsg, ndmsg } from '../src/kernel/route/neighbours.ts';
import { decodeLinkIndex, decodeNotification } from '../src/kernel/route/notification.ts';
import { rtmsg } from '../src/kernel/route/routes.ts';
import { RTM } from '../src/kernel/route/rtnetlink.ts';
import { parseLabDescription } from '../src/lab/description.ts';
import { parseWalkthrough } from '../src/lab/walkthrough.ts';
import { parseAddress, parseInterfaceAddress, parsePrefix } from '../src/lib/prefix.ts';
import { parseResolvConf } from '../src/lib/resolv-conf.ts';
import { parseNodes } from '../src/lib/template/parse.ts';
import { parseTemplate } from '../src/lib/template/template.ts';
import { parseAddressWish } from '../src/model/address-wish.ts';
import { parseCluster } from '../src/model/cluster.ts';
import { parseContainer } from '../src/model/container.ts';
import { parseEndpoint } from '../src/model/endpoint.ts';
import { frame } from '../src/model/frame.ts';
import { parseHost } from '../src/model/host.ts';
import { parseTokenText } from '../src/model/join-token.ts';
import { parseMeshPlace } from '../src/model/mesh-place.ts';
import { parseNameRecord } from '../src/model/name-record.ts';
import { Network, parseNetwork } from '../src/model/network.ts';
import { parseJson, parseRecord } from '../src/model/record.ts';
import {
  parseAllocationRange,
  parseDirectory,
  parseDomain,
  parseHostName,
  parseIpText,
  parseListener,
  parseNamesPlace,
  parsePlace,
  parsePool,
  parsePort,
  parseStoreOption,
  parseStoreText,
  parseSwitch,
} from '../src/model/setting-values.ts';
import { parseFlags, parseSettings, parseSettingsFile } from '../src/model/settings.ts';
import { parseTokenSource } from '../src/model/token-source.ts';
import { parseAllocation, parseItem, parseWish } from '../src/state/kv/allocation.ts';
import { parseHolder } from '../src/state/kv/claims.ts';
import {
  parseFailure,
  parseGrant,
  parseKeepAlive,
  parseRange,
  parseToken,
  parseTxn,
  parseWatch,
} from '../src/state/kv/etcd/messages.ts';
import { parseAlive } from '../src/state/kv/presence.ts';
import { parseStoreUrl } from '../src/state/kv/url.ts';
import { parseMessage as parseBeginningMessage } from '../src/state/mesh/beginning.ts';
import { parseCatalogAnswer, parseCatalogQuestion } from '../src/state/mesh/catalog.ts';
import { parseClaim, parseStamps } from '../src/state/mesh/claim-entries.ts';
import { parseClaimAnswer, parseClaimQuestion } from '../src/state/mesh/claims.ts';
import { parseGiven, parseWanted } from '../src/state/mesh/donor.ts';
import { parseEntry } from '../src/state/mesh/entries.ts';
import { parseFreed, parseHeld } from '../src/state/mesh/holdings.ts';
import { parseLinkAddress } from '../src/state/mesh/link/address.ts';
import { decodeFrame } from '../src/state/mesh/link/frame.ts';
import { packet } from '../src/state/mesh/link/packet.ts';
import { parseDatagram, parseLinkMessage } from '../src/state/mesh/messages.ts';
import { parseAbout } from '../src/state/mesh/open.ts';
import { parseAcknowledgement } from '../src/state/mesh/removal.ts';
import { parseRing, parseSaid } from '../src/state/mesh/ring.ts';
import { cardOf } from '../src/state/mesh/room/card.ts';
import { charterOf, parseCharter } from '../src/state/mesh/room/charter.ts';
import { parseLetter, parseRoomMessage } from '../src/state/mesh/room/messages.ts';
import { parseRoomRecord } from '../src/state/mesh/room/record.ts';
import { claimOf } from '../src/state/mesh/trust/claim.ts';
import { parseEvidence } from '../src/state/mesh/trust/evidence.ts';
import { parseGenesis } from '../src/state/mesh/trust/genesis.ts';
import { parseHandshakeMessage } from '../src/state/mesh/trust/handshake-messages.ts';
import { parseStatements } from '../src/state/mesh/trust/statements.ts';
import { parseJoinToken } from '../src/state/mesh/trust/token.ts';
import { fakeHost, fakeVerify, foundedBy, tokenOf } from '../src/state/mesh/trust/trust.testing.ts';
import { parseEndpointSeen, parseHostSeen, parseNameSeen } from '../src/state/remembered/open.ts';

/**
 * Everything that reads what comes from outside, by the file it stands in and its name. `test/parsers.test.ts` throws
 * garbage at each; the architecture test fails for one that is missing here.
 */
export type Parser =
  | { readonly kind: 'text'; readonly samples: readonly string[]; readonly parse: (input: string) => unknown }
  | { readonly kind: 'bytes'; readonly samples: readonly Uint8Array[]; readonly parse: (input: Uint8Array) => unknown }
  | { readonly kind: 'json'; readonly samples: readonly unknown[]; readonly parse: (input: unknown) => unknown };

const id = '3d430f3338a2c3496e9edeccc880f0a7affa06522b4249497ef6c4cd6571eaa9';
const host = '0123456789abcdef0123456789abcdef';
const time = '2026-11-20T18:00:00.000Z';
const key = `${'A'.repeat(43)}=`;
const owner = { host, id, name: 'test1' };

const network = {
  ...{ id, name: 'demo', created: time, driver: 'overlay', vni: 256, mtu: 1450, ipv6: true, owner: host },
  subnets: [
    { subnet: '10.0.0.0/24', gateway: '10.0.0.1', ipRange: '10.0.0.128/25', auxAddresses: { router: '10.0.0.5' } },
    { subnet: 'fd00:1::/64', gateway: 'fd00:1::1' },
  ],
  ...{ internal: false, attachable: true, options: {}, labels: { a: 'b' }, later: { unknown: [1] } },
};

const endpoint = {
  ...{ id, network: id, name: 'test1', aliases: ['web'], mac: '02:42:0a:00:00:02' },
  ...{ addresses: ['10.0.0.2/24', 'fd00:1::2/64'], host, epoch: 1, created: time },
  sandbox: { id: '0123456789ab', key: '/run/skein/netns/0123456789ab' },
  container: { id, name: 'test1' },
};

const nameRecord = {
  ...{ id, name: 'db.team', addresses: ['192.0.2.9', 'fd00::9'], network: id, host, epoch: 1, created: time },
  ports: [{ name: 'http', port: 80, protocol: 'tcp' }],
};

const hostRecord = {
  ...{ id: host, name: 'h1', key, advertise: '192.168.205.10:2376', data: '192.168.205.10', mtu: 1500 },
  ...{ routes: ['192.168.205.0/24'], version: '0.1.0', featureLevel: 1, epoch: 1, bootId: 'boot', started: time },
};

const sheetState = { version: [3, 1], digest: id };
const sheetMark = { owner: host, scope: 'catalog', ...sheetState };
const sheetUpdate = {
  ...{ head: { ...sheetMark, over: [2, 9], signature: 'c2lnbmVk' }, base: sheetState },
  ...{ put: [['network', { name: 'demo' }]], gone: ['old'] },
};
const life = { life: [3, 1], signature: 'c2lnbmVk' };
const lifeNews = [
  { id: host, state: 'alive', ...life },
  { id: host, state: 'lost', life: [3, 1], by: host },
];
const want = { owner: host, scope: `network:${id}`, have: sheetState };
const meshFrames = [
  { t: 'push', updates: [sheetUpdate] },
  { t: 'have', marks: [sheetMark] },
  { t: 'graft', wants: [want] },
  { t: 'eager', owners: [host] },
  { t: 'prune', owners: [host] },
  { t: 'sync', settled: true, groups: [['all', 'ab12']], news: 'ab12' },
  { t: 'synced', settled: true, same: ['all'], differ: [[`network:${id}`, ['ab12', '']]] },
  { t: 'marks', group: 'all', ask: true, buckets: [0, 63], marks: [sheetMark] },
  { t: 'want', wants: [want] },
  { t: 'gave', updates: [sheetUpdate], done: true },
  { t: 'call', n: 1, state: 'suspect', life: [3, 1] },
  { t: 'answer', n: 1, ...life, proof: 'c2lnbmVk' },
  { t: 'news', news: lifeNews },
  { t: 'route', to: host, from: host, hops: 3, body: { t: 'want', wants: [want] } },
];
const meshDatagrams = [
  { t: 'ping', n: 1, state: 'alive', life: [3, 1], news: lifeNews },
  { t: 'pong', n: 1, ...life, news: lifeNews },
  { t: 'probe', n: 1, of: host, state: 'suspect', life: [3, 1] },
  { t: 'reached', n: 1 },
  { t: 'unreached', n: 1 },
];

const container = {
  ...{ id, name: 'test1', created: time, command: ['sleep', '1'], env: ['A=b'], hostname: 'test1' },
  ...{ interactive: false, tty: false, remove: false, sandbox: '0123456789ab' },
  state: { status: 'exited', exitCode: 0, started: time, finished: time },
};

const sandbox = {
  ...{ id: '0123456789ab', bootId: 'boot', container: { id, name: 'test1' } },
  places: [{ id, network: id, name: 'test1', interface: 'eth0', port: 'veth0', state: 'connected', endpoint }],
  exit: { interface: 'eth1', port: 'veth0123456', mac: '02:42:ac:12:00:02', addresses: ['172.18.0.2/16'] },
};

const joiner = fakeHost('joiner');
const claim = claimOf(
  { signer: joiner.signer, token: tokenOf('token'), name: 'h1', addresses: ['192.0.2.1:2377'] },
  { binding: id },
);

const seal = { ...joiner.signer, hash: () => id, verify: fakeVerify };
const charter = charterOf(foundedBy(joiner), {
  hosts: [{ key, name: 'h2' }],
  token: tokenOf('token').signer(),
  seal,
  n: 1,
});
const card = cardOf(
  { key: joiner.signer.key, name: 'h1', addresses: ['192.0.2.1:6783'], n: 1, links: [host] },
  { signer: joiner.signer, token: tokenOf('token').signer() },
);

const alive = { epoch: 1, since: time, instance: '0123456789abcdef' };
const settingsFile = JSON.stringify({ 'cluster-store': 'etcd://10.0.0.1:2379', 'cluster-advertise': 'eth0:2376' });
const keyValue = { key: 'L3NrZWluL2E=', value: 'e30=', mod_revision: '7' };
const ruleset = {
  nftables: [
    { metainfo: { version: '1.0.6' } },
    { table: { family: 'inet', name: 'skein', handle: 1 } },
    { set: { family: 'inet', table: 'skein', name: 'peers', type: 'ipv4_addr', elem: ['192.0.2.1'] } },
    {
      chain: {
        ...{ family: 'inet', table: 'skein', name: 'in', handle: 1 },
        ...{ type: 'filter', hook: 'input', prio: 0, policy: 'accept' },
      },
    },
    { rule: { family: 'inet', table: 'skein', chain: 'in', handle: 2, comment: 'guard', expr: [] } },
  ],
};

/** Messages that passed between iproute2 and the kernel. */
const captured: readonly { readonly sent: string; readonly received: readonly string[] }[] = JSON.parse(
  readFileSync(new URL('../src/kernel/route/captured.json', import.meta.url), 'utf8'),
);
const datagrams = captured.flatMap(({ sent, received }) => [sent, ...received]).map((hex) => Buffer.from(hex, 'hex'));
const messages = datagrams.flatMap((bytes) => nlmsg.decode(bytes));
const bridge = 7;

/** Messages that passed between nft and the kernel. */
const capturedRules: {
  readonly sent: readonly { readonly sent: string }[];
  readonly received: readonly string[];
} = JSON.parse(readFileSync(new URL('../src/kernel/nftables/captured.json', import.meta.url), 'utf8'));
const rules = [...capturedRules.sent.map(({ sent }) => sent), ...capturedRules.received].flatMap((hex) =>
  nlmsg.decode(Buffer.from(hex, 'hex')),
);
const ruleMessages = (wanted: number) => rules.filter(({ type }) => type === wanted).map(({ payload }) => payload);

function payloads(
  types: readonly number[],
  wanted: (family: number | undefined) => boolean = () => true,
): Uint8Array[] {
  const found = messages.filter(({ type, payload }) => types.includes(type) && wanted(payload[0]));
  return found.map(({ payload }) => payload);
}

const links = payloads([RTM.NEWLINK]);
const errors = messages.filter(({ type }) => type === NLMSG.ERROR);
const news = messages.filter(({ type }) =>
  [RTM.NEWLINK, RTM.NEWADDR, RTM.NEWROUTE, RTM.NEWNEIGH].some((wanted) => wanted === type),
);

/** What dig asked dnsmasq and unbound, and what they answered. */
const names: readonly { readonly asked: string; readonly answered: string }[] = JSON.parse(
  readFileSync(new URL('../src/dns/captured.json', import.meta.url), 'utf8'),
);

export const parsers: Readonly<Record<string, Parser>> = {
  'adapters/api/parse.ts parseBody': {
    kind: 'bytes',
    samples: [Buffer.from(''), Buffer.from('{"Name":"demo"}')],
    parse: (bytes) => parseBody(bytes, 'the body'),
  },
  'adapters/api/parse.ts parseInput': {
    kind: 'json',
    samples: [network],
    parse: (json) => parseInput(Network, json, 'the body'),
  },
  'dns/foreign.ts decodeForeign': {
    kind: 'bytes',
    samples: names.map(({ answered }) => Buffer.from(answered, 'hex')),
    parse: (bytes) => decodeForeign(Buffer.from(bytes)),
  },
  'dns/lookup.ts decodeLookup': {
    kind: 'bytes',
    samples: names.map(({ answered }) => Buffer.from(answered, 'hex')),
    parse: (bytes) => decodeLookup(Buffer.from(bytes)),
  },
  'dns/message.ts decodeQuery': {
    kind: 'bytes',
    samples: names.map(({ asked }) => Buffer.from(asked, 'hex')),
    parse: (bytes) => decodeQuery(Buffer.from(bytes)),
  },
  'cli/environment.ts parseEnvironmentFile': {
    kind: 'text',
    samples: ['A=b\n# comment\nC\n'],
    parse: parseEnvironmentFile,
  },
  'cli/restart-policy.ts parseRestart': {
    kind: 'text',
    samples: ['no', 'on-failure', 'on-failure:5', 'always', 'unless-stopped'],
    parse: parseRestart,
  },
  'cli/named-port.ts parsePorts': {
    kind: 'text',
    samples: ['80', '53/udp', 'http:80/tcp', '3000-3002'],
    parse: parsePorts,
  },
  'cli/session.ts parseTarget': {
    kind: 'text',
    samples: ['unix:///run/skein/skein.sock', 'h1', 'demo/h1'],
    parse: parseTarget,
  },
  'cli/attach.ts parsePlace': { kind: 'text', samples: ['/run/netns/x', '4194304', 'web'], parse: parseNamespacePlace },
  'cli/listing.ts parseFilters': {
    kind: 'text',
    samples: ['name=x', 'label=a=b', 'status=running'],
    parse: (text) => parseFilters([text], ['name', 'label', 'status']),
  },
  'lib/resolv-conf.ts parseResolvConf': {
    kind: 'text',
    samples: [
      '# of the house\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch a.example b.example\noptions ndots:2\n',
    ],
    parse: parseResolvConf,
  },
  'lib/template/parse.ts parseNodes': {
    kind: 'text',
    samples: ['{{with $x := .A}}{{$x.B}}{{else}}{{- (len "a") | printf "%d" -}} {{end}}'],
    parse: parseNodes,
  },
  'lib/template/template.ts parseTemplate': {
    kind: 'text',
    samples: ['{{.Id}}', '{{range .Containers}}{{json .Name}} {{end}}', '{{index .Labels "a"}}', 'json'],
    parse: parseTemplate,
  },
  'controllers/containers/control.ts controlAnswer': {
    kind: 'bytes',
    samples: [
      Buffer.from('0300000000000004000000ff', 'hex'),
      Buffer.from('000000000000000c000000070000000000000001', 'hex'),
    ],
    parse: (bytes) => controlAnswer.decode(bytes),
  },
  'controllers/containers/exit-record.ts parseExitRecord': {
    kind: 'text',
    samples: ['{"exitCode":0,"started":1,"finished":2,"lost":0}'],
    parse: (text) => parseExitRecord(text, 'exit'),
  },
  'model/frame.ts frame': {
    kind: 'bytes',
    samples: [frame.encode({ stream: 'stdout', time: 1n, bytes: Buffer.from('hello') })],
    parse: (bytes) => frame.decode(bytes),
  },
  'controllers/containers/signal.ts parseSignal': {
    kind: 'text',
    samples: ['SIGKILL', 'term', '9', 'RTMIN+3'],
    parse: parseSignal,
  },
  'controllers/endpoints/exits.ts parseGateway': {
    kind: 'json',
    samples: [{ addresses: ['172.18.0.1/16', 'fd00::1/64'] }],
    parse: (json) => parseGateway(json, 'gateway'),
  },
  'controllers/endpoints/sandbox-record.ts parseSandboxRecord': {
    kind: 'json',
    samples: [sandbox],
    parse: (json) => parseSandboxRecord(json, 'sandbox'),
  },
  'controllers/hosts/identity.ts parseIdentity': {
    kind: 'json',
    samples: [{ id: host, privateKey: 'pem', epoch: 1 }],
    parse: (json) => parseIdentity(json, 'identity'),
  },
  'controllers/networks/intents.ts parseIntent': {
    kind: 'json',
    samples: [{ network: 'demo' }, { network: 'demo', later: 1 }],
    parse: (json) => parseIntent(json, 'intent'),
  },
  'cli/network/prune.ts parsePruneFilter': {
    kind: 'text',
    samples: ['until=1h30m', 'label!=a=b'],
    parse: (text) => parsePruneFilter([text], 0),
  },
  'controllers/networks/options.ts parseOptions': {
    kind: 'text',
    samples: ['1400', '65535'],
    parse: (text) => parseOptions({ [mtuOption]: text }),
  },
  'dataplane/foreign/listings.ts parseIptables': {
    kind: 'text',
    samples: ['-P INPUT DROP\n-N ufw\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j ufw\n'],
    parse: (text) => parseIptables(text, 'iptables-nft'),
  },
  'dataplane/foreign/listings.ts parseNftChains': {
    kind: 'text',
    samples: [
      `{"nftables":[{"chain":{"family":"inet","table":"filter","name":"in","type":"filter","hook":"input","prio":0,"policy":"drop"}},{"rule":{"family":"inet","table":"filter","chain":"in","handle":2,"expr":[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"lo"}},{"accept":null}]}}]}`,
    ],
    parse: (text) => parseNftChains(text),
  },
  'dataplane/foreign/listings.ts parseNftTranslators': {
    kind: 'text',
    samples: [
      `{"nftables":[{"rule":{"family":"ip","table":"nat","chain":"POSTROUTING","handle":2,"expr":[{"xt":{"type":"target","name":"MASQUERADE"}}]}},{"rule":{"family":"inet","table":"mine","chain":"out","handle":3,"expr":[{"masquerade":null}]}}]}`,
    ],
    parse: (text) => parseNftTranslators(text),
  },
  'dataplane/foreign/record.ts parseGuests': {
    kind: 'text',
    samples: ['[{"program":"nft","family":"inet","table":"filter","chain":"in","rule":"accept"}]'],
    parse: (text) => parseGuests(text, 'foreign-rules.json'),
  },
  'dataplane/probe/strangers.ts parseStranger': {
    kind: 'text',
    samples: ['192.0.2.1 . 2485355531485', 'fd00::1 . 1'],
    parse: (text) => parseStranger(text),
  },
  'dataplane/socket-name.ts parseSocketName': {
    kind: 'text',
    samples: ['1-3d430f3338 4026532311 udp 169.254.53.53 53', 'host 4026531840 tcp fd53::53 5353'],
    parse: (text) => parseSocketName(text),
  },
  'kernel/netlink/attribute.ts decodeAttributes': {
    kind: 'bytes',
    samples: links.map((payload) => payload.subarray(16)),
    parse: (bytes) => decodeAttributes(bytes, 'IFLA'),
  },
  'kernel/netlink/message.ts nlmsg': { kind: 'bytes', samples: datagrams, parse: (bytes) => nlmsg.decode(bytes) },
  'kernel/netlink/message.ts nlmsgerr': {
    kind: 'bytes',
    samples: errors.map(({ flags, payload }) => headed(flags, payload)),
    parse: (bytes) =>
      nlmsgerr.decode({ type: NLMSG.ERROR, flags: headOf(bytes), seq: 1, pid: 1, payload: bytes.subarray(2) }),
  },
  'kernel/nftables/message.ts nftChain': {
    kind: 'bytes',
    samples: ruleMessages(NFT_MSG.NEWCHAIN),
    parse: (bytes) => nftChain.decode(bytes),
  },
  'kernel/nftables/message.ts nftRule': {
    kind: 'bytes',
    samples: capturedRules.sent
      .flatMap(({ sent }) => nlmsg.decode(Buffer.from(sent, 'hex')))
      .filter(({ type }) => type === NFT_MSG.NEWRULE)
      .map(({ payload }) => payload),
    parse: (bytes) => nftRule.decode(bytes),
  },
  'kernel/nftables/message.ts nftRulePlace': {
    kind: 'bytes',
    samples: ruleMessages(NFT_MSG.NEWRULE),
    parse: (bytes) => nftRulePlace.decode(bytes),
  },
  'kernel/nftables/message.ts nftSet': {
    kind: 'bytes',
    samples: ruleMessages(NFT_MSG.NEWSET),
    parse: (bytes) => nftSet.decode(bytes),
  },
  'kernel/nftables/message.ts nftTable': {
    kind: 'bytes',
    samples: ruleMessages(NFT_MSG.NEWTABLE),
    parse: (bytes) => nftTable.decode(bytes),
  },
  'kernel/nftables/notification.ts decodeRuleChange': {
    kind: 'bytes',
    samples: [Buffer.from('01000000' + '0a000100736b65696e000000', 'hex')],
    parse: (payload) => decodeRuleChange({ type: (10 << 8) | 2, payload }),
  },
  'kernel/nftables/ruleset.ts parseRuleset': {
    kind: 'text',
    samples: [JSON.stringify(ruleset)],
    parse: parseRuleset,
  },
  'kernel/program-text.ts parseMappings': {
    kind: 'text',
    samples: [
      '00400000-00746000 r--p 00000000 fe:00 53 /usr/bin/node\nSize: 3352 kB\nAnonymous:  16 kB\nVmFlags: rd\n',
    ],
    parse: parseMappings,
  },
  'kernel/route/addresses.ts ifaddrmsg': {
    kind: 'bytes',
    samples: payloads([RTM.NEWADDR]),
    parse: (bytes) => ifaddrmsg.decode(bytes),
  },
  'kernel/route/link.ts ifinfomsg': { kind: 'bytes', samples: links, parse: (bytes) => ifinfomsg.decode(bytes) },
  'kernel/route/neighbours.ts ndmsg': {
    kind: 'bytes',
    samples: payloads([RTM.NEWNEIGH], (family) => family !== bridge),
    parse: (bytes) => ndmsg.decode(bytes),
  },
  'kernel/route/neighbours.ts fdbmsg': {
    kind: 'bytes',
    samples: payloads([RTM.NEWNEIGH], (family) => family === bridge),
    parse: (bytes) => fdbmsg.decode(bytes),
  },
  'kernel/route/notification.ts decodeLinkIndex': {
    kind: 'bytes',
    samples: links,
    parse: (payload) => decodeLinkIndex({ type: RTM.NEWLINK, payload }),
  },
  'kernel/route/notification.ts decodeNotification': {
    kind: 'bytes',
    samples: news.map(({ type, payload }) => headed(type, payload)),
    parse: (bytes) => decodeNotification({ type: headOf(bytes), payload: bytes.subarray(2) }),
  },
  // What the kernel answers to `tc filter show`: a redirect, as in redirects.test.ts.
  'kernel/route/filter.ts tfilter': {
    kind: 'bytes',
    samples: [
      Buffer.from(
        '000000000300000000001000f2ffffff00030100080001007533320008000b00000000000c0002000800040000010000',
        'hex',
      ),
      Buffer.from(
        '000000000300000000080080f2ffffff00030100080001007533320008000b0000000000400002002400050000000100000000000000f4ff' +
          '000000ff000000000000000000000000000000000800020000000080080003000000100008000b0008000000',
        'hex',
      ),
    ],
    parse: (bytes) => tfilter.decode(bytes),
  },
  'kernel/route/routes.ts rtmsg': {
    kind: 'bytes',
    samples: payloads([RTM.NEWROUTE]),
    parse: (bytes) => rtmsg.decode(bytes),
  },
  'daemon/departures.ts parseDepartures': {
    kind: 'text',
    samples: [
      JSON.stringify([
        {
          host: 'ab'.repeat(16),
          cluster: {
            ...{ id: 'cd'.repeat(32), generation: 1, featureLevel: 1, dataPort: 4789, underlay: 4 },
            created: '2026-11-20T18:00:00.000Z',
          },
          store: 'etcd://10.0.0.1:2379',
        },
      ]),
    ],
    parse: (text) => parseDepartures(text, 'departures.json'),
  },
  'lab/description.ts parseLabDescription': {
    kind: 'text',
    samples: ['{"hosts":2,"subnets":1,"underlay":4,"mtu":1500,"store":"etcd://192.168.205.2:2379"}'],
    parse: (text) => parseLabDescription(text, 'lab.json'),
  },
  'lab/walkthrough.ts parseWalkthrough': {
    kind: 'text',
    samples: ['# Title\n\ntext\n\n```console\nh1# skein ps\noutput\n```\n'],
    parse: parseWalkthrough,
  },
  'lib/prefix.ts parseAddress': {
    kind: 'text',
    samples: ['10.0.0.1', 'fd00::1', '::ffff:1.2.3.4'],
    parse: parseAddress,
  },
  'lib/prefix.ts parseInterfaceAddress': {
    kind: 'text',
    samples: ['10.0.0.2/24', 'fd00::2/64'],
    parse: parseInterfaceAddress,
  },
  'lib/prefix.ts parsePrefix': { kind: 'text', samples: ['10.0.0.0/24', 'fd00::/64'], parse: parsePrefix },
  'model/cluster.ts parseCluster': {
    kind: 'json',
    samples: [{ id, generation: 1, featureLevel: 1, created: time, dataPort: 4789, underlay: 4 }],
    parse: (json) => parseCluster(json, 'cluster'),
  },
  'model/container.ts parseContainer': {
    kind: 'json',
    samples: [container, { ...container, state: { status: 'created' } }],
    parse: (json) => parseContainer(json, 'container'),
  },
  'model/endpoint.ts parseEndpoint': {
    kind: 'json',
    samples: [endpoint],
    parse: (json) => parseEndpoint(json, 'endpoint'),
  },
  'model/host.ts parseHost': { kind: 'json', samples: [hostRecord], parse: (json) => parseHost(json, 'host') },
  'model/join-token.ts parseTokenText': {
    kind: 'text',
    samples: [tokenOf('token').reveal(), tokenOf('token', foundedBy(joiner)).reveal()],
    parse: parseTokenText,
  },
  'model/mesh-place.ts parseMeshPlace': {
    kind: 'text',
    samples: ['192.0.2.1', 'h1.example:6784', '2001:db8::1', '[2001:db8::1]:6783'],
    parse: parseMeshPlace,
  },
  'model/name-record.ts parseNameRecord': {
    kind: 'json',
    samples: [nameRecord],
    parse: (json) => parseNameRecord(json, 'record'),
  },
  'model/network.ts parseNetwork': { kind: 'json', samples: [network], parse: (json) => parseNetwork(json, 'network') },
  'model/record.ts parseJson': { kind: 'text', samples: ['{"a":[1]}'], parse: (text) => parseJson(text, 'a key') },
  'model/record.ts parseRecord': {
    kind: 'json',
    samples: [network],
    parse: (json) => parseRecord(Network, json, 'a key'),
  },
  'model/setting-values.ts parseDirectory': { kind: 'text', samples: ['/var/lib/skein'], parse: parseDirectory },
  'model/setting-values.ts parseDomain': { kind: 'text', samples: ['skein.local', 'Weave.Local.'], parse: parseDomain },
  'model/setting-values.ts parseHostName': { kind: 'text', samples: ['h1'], parse: parseHostName },
  'model/setting-values.ts parseIpText': { kind: 'text', samples: ['10.0.0.1', 'fd00::1'], parse: parseIpText },
  'model/setting-values.ts parseListener': { kind: 'text', samples: ['unix:///run/a.sock'], parse: parseListener },
  'model/setting-values.ts parseNamesPlace': {
    kind: 'text',
    samples: ['gateway', '10.0.0.1:5353', 'fd00::1', '[fd00::1]:5353'],
    parse: parseNamesPlace,
  },
  'model/setting-values.ts parsePlace': { kind: 'text', samples: ['eth0:2376', '[fd00::1]:2376'], parse: parsePlace },
  'model/address-wish.ts parseAddressWish': {
    kind: 'text',
    samples: ['10.0.1.1/24', 'ip:10.0.1.1/24', 'net:10.0.1.0/24', 'net:default', 'fd00::1'],
    parse: parseAddressWish,
  },
  'model/setting-values.ts parseAllocationRange': {
    kind: 'text',
    samples: ['10.32.0.0/12'],
    parse: parseAllocationRange,
  },
  'model/setting-values.ts parsePool': {
    kind: 'text',
    samples: ['10.0.0.0/8,size=24', 'base=10.0.0.0/8,size=24'],
    parse: parsePool,
  },
  'model/setting-values.ts parsePort': { kind: 'text', samples: ['4789'], parse: parsePort },
  'model/setting-values.ts parseSwitch': { kind: 'text', samples: ['true', 'false'], parse: parseSwitch },
  'model/setting-values.ts parseStoreOption': {
    kind: 'text',
    samples: ['kv.cacertfile=/etc/skein/ca.pem', 'kv.user=skein'],
    parse: parseStoreOption,
  },
  'model/setting-values.ts parseStoreText': {
    kind: 'text',
    samples: ['etcd://10.0.0.1:2379', 'local:'],
    parse: parseStoreText,
  },
  'model/settings.ts parseFlags': {
    kind: 'text',
    samples: ['--cluster-store etcd://10.0.0.1:2379 -H unix:///run/a.sock'],
    parse: (text) => parseFlags(text.split(' ')),
  },
  'model/settings.ts parseSettings': {
    kind: 'text',
    samples: [settingsFile],
    parse: (text) => parseSettings({ flags: {}, env: {}, file: { path: 'daemon.json', text } }),
  },
  'model/settings.ts parseSettingsFile': {
    kind: 'text',
    samples: [settingsFile, '{"default-address-pools":[{"base":"10.0.0.0/8","size":24}]}'],
    parse: (text) => parseSettingsFile(text, 'daemon.json'),
  },
  'state/kv/allocation.ts parseAllocation': {
    kind: 'json',
    samples: [owner, { released: time, former: owner }],
    parse: (json) => parseAllocation(json, 'a key'),
  },
  'state/kv/allocation.ts parseItem': {
    kind: 'text',
    samples: ['10.0.0.0-24', 'fd00::-64'],
    parse: (text) => parseItem('subnets', text),
  },
  'state/kv/allocation.ts parseWish': {
    kind: 'text',
    samples: ['10.0.0.2', 'fd00::2'],
    parse: (text) => parseWish('addresses', text),
  },
  'state/kv/claims.ts parseHolder': {
    kind: 'json',
    samples: [{ id, host }, { id }],
    parse: (json) => parseHolder(json, 'a key'),
  },
  'state/kv/etcd/messages.ts parseFailure': {
    kind: 'json',
    samples: [{ code: 3, message: 'no' }, {}],
    parse: parseFailure,
  },
  'state/kv/etcd/messages.ts parseGrant': { kind: 'json', samples: [{ ID: '7587' }], parse: parseGrant },
  'state/kv/etcd/messages.ts parseKeepAlive': {
    kind: 'json',
    samples: [{ result: { TTL: '10' } }],
    parse: parseKeepAlive,
  },
  'state/kv/etcd/messages.ts parseRange': {
    kind: 'json',
    samples: [{ header: { revision: '7' }, kvs: [keyValue], more: false }],
    parse: parseRange,
  },
  'state/kv/etcd/messages.ts parseToken': { kind: 'json', samples: [{ token: 'abc.1' }], parse: parseToken },
  'state/kv/etcd/messages.ts parseTxn': {
    kind: 'json',
    samples: [{ header: { revision: '7' }, succeeded: true, responses: [{ response_range: { kvs: [keyValue] } }] }],
    parse: parseTxn,
  },
  'state/kv/etcd/messages.ts parseWatch': {
    kind: 'json',
    samples: [{ result: { header: { revision: '7' }, events: [{ type: 'PUT', kv: keyValue }] } }],
    parse: parseWatch,
  },
  'state/mesh/beginning.ts parseMessage': {
    kind: 'json',
    samples: [
      { kind: 'here', begun: false },
      { kind: 'propose', genesis: { id, founder: host, view: [host] } },
      { kind: 'moved', genesis: { id, founder: host, view: [host] }, from: id, begun: true },
    ],
    parse: parseBeginningMessage,
  },
  'state/mesh/catalog.ts parseCatalogQuestion': {
    kind: 'json',
    samples: [{ id }, { id, entry: { version: 1, value: network } }],
    parse: parseCatalogQuestion,
  },
  'state/mesh/catalog.ts parseCatalogAnswer': {
    kind: 'json',
    samples: [{ ok: true }, { ok: false, by: host, entry: { version: 1, value: network, deleted: true } }],
    parse: (json) => parseCatalogAnswer(json, id),
  },
  'state/mesh/claim-entries.ts parseClaim': {
    kind: 'json',
    samples: [
      { id, at: 1, stamp: 'a' },
      { id, host, at: 2, stamp: 'b', over: ['a'] },
    ],
    parse: (json) => parseClaim(json, 'name/web', host),
  },
  'state/mesh/claim-entries.ts parseStamps': {
    kind: 'json',
    samples: [[], ['a', 'b']],
    parse: (json) => parseStamps(json, 'unnamed/web'),
  },
  'state/mesh/claims.ts parseClaimQuestion': {
    kind: 'json',
    samples: [
      { scope: 'catalog', key: 'name/demo' },
      { scope: `network:${id}`, key: 'name/web', claim: { id, host, at: 1, stamp: 'a' } },
    ],
    parse: (json) => parseClaimQuestion(json, host),
  },
  'state/mesh/claims.ts parseClaimAnswer': {
    kind: 'json',
    samples: [{}, { holder: { id, host }, at: 1 }],
    parse: parseClaimAnswer,
  },
  'state/mesh/donor.ts parseWanted': {
    kind: 'json',
    samples: [
      { kind: 'piece', ring: 'vnis', first: '256', last: '300', passed: ['257'], want: 4, spare: true },
      { kind: 'exact', ring: 'subnets-4', first: '167772160', last: '167772415', within: ['0', '4294967295'] },
    ],
    parse: parseWanted,
  },
  'state/mesh/donor.ts parseGiven': {
    kind: 'json',
    samples: [{ kind: 'given' }, { kind: 'refused' }, { kind: 'held', item: '10.0.0.2', owner }],
    parse: parseGiven,
  },
  'state/mesh/entries.ts parseEntry': {
    kind: 'json',
    samples: [
      { version: 1, value: network },
      { version: 2, value: network, deleted: true },
      { version: 3, value: 'x' },
    ],
    parse: (json) => parseEntry(json, id, host),
  },
  'state/mesh/holdings.ts parseHeld': {
    kind: 'json',
    samples: [
      { owner, stamp: 'a' },
      { owner, stamp: 'a', released: time },
    ],
    parse: (json) => parseHeld(json, 'held/vnis/256'),
  },
  'state/mesh/holdings.ts parseFreed': {
    kind: 'json',
    samples: [{ stamp: 'a', unused: true }],
    parse: (json) => parseFreed(json, 'freed/vnis/256'),
  },
  'state/mesh/open.ts parseAbout': {
    kind: 'json',
    samples: [{ about: 'names', question: { scope: 'catalog', key: 'name/demo' } }],
    parse: parseAbout,
  },
  'state/mesh/removal.ts parseAcknowledgement': {
    kind: 'json',
    samples: [{ by: host, heir: host, at: 1, ring: [1, 2], trust: [0, 0] }],
    parse: (json) => parseAcknowledgement(json, `removed/${host}`),
  },
  'state/mesh/ring.ts parseRing': { kind: 'text', samples: ['vnis', 'subnets-4', `${id}-6`], parse: parseRing },
  'state/mesh/ring.ts parseSaid': {
    kind: 'json',
    samples: [
      { last: '167772169', owner: host, version: [0, 2] },
      { last: '4294967295', owner: host, version: [1, 1], spare: true },
    ],
    parse: (json) => parseSaid('own/subnets-4/167772168', json),
  },
  'state/mesh/messages.ts parseLinkMessage': {
    kind: 'json',
    samples: meshFrames,
    parse: parseLinkMessage,
  },
  'state/mesh/messages.ts parseDatagram': {
    kind: 'json',
    samples: meshDatagrams,
    parse: parseDatagram,
  },
  'state/kv/presence.ts parseAlive': {
    kind: 'json',
    samples: [alive, { ...alive, asking: 'fedcba9876543210' }],
    parse: (json) => parseAlive(json, 'a key'),
  },
  'state/kv/url.ts parseStoreUrl': {
    kind: 'text',
    samples: ['etcd://10.0.0.1:2379,etcd2:2379/skein', 'local:', 'local:/var/lib/skein/store.db'],
    parse: parseStoreUrl,
  },
  'state/mesh/room/charter.ts parseCharter': {
    kind: 'json',
    samples: [charter],
    parse: (json) => parseCharter(json, seal),
  },
  'state/mesh/room/messages.ts parseRoomMessage': {
    kind: 'json',
    samples: [
      { t: 'card', card },
      { t: 'letter', from: host, to: [joiner.id], hops: 64, body: { t: 'one of later' } },
    ],
    parse: parseRoomMessage,
  },
  'state/mesh/room/messages.ts parseLetter': {
    kind: 'json',
    samples: [
      { t: 'beginning', message: { kind: 'here', begun: false } },
      { t: 'want', cluster: id },
      { t: 'charter', charter },
    ],
    parse: parseLetter,
  },
  'state/mesh/room/record.ts parseRoomRecord': {
    kind: 'json',
    samples: [
      { token: key, standing: { kind: 'waiting' }, hosts: {} },
      {
        ...{ token: key, charter, hosts: { [host]: ['192.0.2.1:6783'] } },
        standing: { kind: 'member', genesis: { id, founder: host, view: [host] }, begun: true },
      },
    ],
    parse: parseRoomRecord,
  },
  'state/mesh/link/address.ts parseLinkAddress': {
    kind: 'text',
    samples: ['192.0.2.1:2377', '[2001:db8::1]:2377', 'h1.example:1'],
    parse: parseLinkAddress,
  },
  'state/mesh/link/frame.ts decodeFrame': {
    kind: 'bytes',
    samples: [Buffer.from('{"t":"hello"}'), Buffer.from('"é"')],
    parse: decodeFrame,
  },
  'state/mesh/link/packet.ts packet': {
    kind: 'bytes',
    samples: [
      Buffer.concat([
        packet.encodeHead({
          kind: 'message',
          from: host,
          session: '1'.repeat(16),
          toSession: '2'.repeat(16),
          number: 2 ** 40,
        }),
        Buffer.alloc(20),
      ]),
    ],
    parse: (bytes) => packet.decode(bytes),
  },
  'state/mesh/trust/evidence.ts parseEvidence': {
    kind: 'json',
    samples: [
      {
        head: {
          owner: joiner.id,
          scope: 'trust',
          version: [1, 2],
          digest: id,
          over: [0, 0],
          signature: claim.signature,
        },
        entries: [[`member/${host}`, { key }]],
      },
    ],
    parse: (json) =>
      parseEvidence([json], { genesis: foundedBy(joiner), seal: { hash: () => id, verify: fakeVerify } }),
  },
  'state/mesh/trust/genesis.ts parseGenesis': {
    kind: 'json',
    samples: [foundedBy(joiner), { ...foundedBy(joiner) }],
    parse: (json) => parseGenesis(json, 'genesis', fakeVerify),
  },
  'state/mesh/trust/handshake-messages.ts parseHandshakeMessage': {
    kind: 'json',
    samples: [
      { t: 'hello', protocol: 1, cluster: id, empty: true },
      { t: 'claim', protocol: 1, claim },
      { t: 'meet', claim },
      { t: 'proof', genesis: foundedBy(joiner), sheets: [{ owner: host }] },
      { t: 'refused', reason: 'removed' },
      { t: 'refused', reason: 'one of later' },
    ],
    parse: parseHandshakeMessage,
  },
  'state/mesh/trust/statements.ts parseStatements': {
    kind: 'json',
    samples: [
      { [`member/${joiner.id}`]: { key: joiner.signer.key, name: 'h1' }, [`removed/${host}`]: { later: 1 } },
      { [`admin/${joiner.id}`]: { by: key, key: joiner.signer.key, rank: 1, signature: claim.signature } },
      { token: { key, n: 1, vouch: claim.proof, old: [key] } },
    ],
    parse: (json) => parseStatements(new Map(typeof json === 'object' ? Object.entries(json ?? {}) : [])),
  },
  'model/token-source.ts parseTokenSource': {
    kind: 'text',
    samples: [tokenOf('token').reveal(), '@/etc/skein/token', '-'],
    parse: parseTokenSource,
  },
  'state/mesh/trust/token.ts parseJoinToken': {
    kind: 'text',
    samples: [tokenOf('token').reveal(), tokenOf('token', foundedBy(joiner)).reveal()],
    parse: parseJoinToken,
  },
  'state/remembered/open.ts parseEndpointSeen': {
    kind: 'json',
    samples: [{ lost: true, endpoint }],
    parse: (json) => parseEndpointSeen(json, 'endpoint'),
  },
  'state/remembered/open.ts parseNameSeen': {
    kind: 'json',
    samples: [{ lost: false, record: nameRecord }],
    parse: (json) => parseNameSeen(json, 'name'),
  },
  'state/remembered/open.ts parseHostSeen': {
    kind: 'json',
    samples: [{ lost: false, host: hostRecord }],
    parse: (json) => parseHostSeen(json, 'host'),
  },
};

/** What is said beside the payload goes before it, so that garbage reaches it too. */
function headed(head: number, payload: Uint8Array): Uint8Array {
  return Uint8Array.of(head & 0xff, head >> 8, ...payload);
}

function headOf(bytes: Uint8Array): number {
  return (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
}
