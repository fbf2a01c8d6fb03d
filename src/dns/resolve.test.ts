import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NamedEndpoint } from './dns.ts';
import { type AskOptions, ask, captured, type Told, tell } from './message.testing.ts';
import { decodeQuery, type TYPE, udpLimit } from './message.ts';
import { Names } from './names.ts';
import { Reply } from './reply.ts';
import { answer, answerNothingOutside } from './resolve.ts';
import { toWireName } from './wire-name.ts';

const reply = new Reply();
const soa = (zone: string) => `${zone} 1 SOA ${zone} hostmaster.${zone} 1 3600 600 86400 1`;

interface World {
  readonly names: Names;
  readonly ask: (name: string, options?: AskOptions & { readonly sees?: readonly string[] }) => Told | 'foreign';
  readonly bytes: (question: Buffer, sees?: readonly string[]) => Buffer | undefined;
}

function world(endpoints: readonly Omit<NamedEndpoint, 'kind' | 'id'>[], domains = ['skein.local']): World {
  const names = new Names();
  for (const name of ['demo', 'other', 'b.c', 'c']) {
    names.putNetwork({ id: name, name, subnets: name === 'demo' ? ['10.0.0.0/24', 'fd00::/64'] : [] });
  }
  endpoints.forEach((endpoint, n) => {
    names.put({ id: String(n), ...endpoint });
  });
  const wires = domains.map((domain) => toWireName(domain) ?? assert.fail(domain));
  const bytes = (question: Buffer, sees: readonly string[] = ['demo']) => {
    const query = decodeQuery(question);
    if (query?.kind !== 'query') return assert.fail('no question');
    const seen = { zones: sees.map((id) => names.see(id)), domains: wires };
    const length = answer(reply, question, query, udpLimit(query.edns), seen);
    return length === undefined ? undefined : Buffer.from(reply.bytes.subarray(0, length));
  };
  return {
    names,
    bytes,
    ask(name, { sees, ...options } = {}) {
      const found = bytes(ask(name, options), sees);
      return found === undefined ? 'foreign' : tell(found);
    },
  };
}

function told(found: Told | 'foreign'): Told {
  return found === 'foreign' ? assert.fail('it is for others to answer') : found;
}

/** Addresses that were answered, without what stands before them. */
function data(found: Told | 'foreign'): readonly string[] {
  return told(found).records[0].map((text) => text.split(' ').slice(3).join(' '));
}

const web = { network: 'demo', names: ['Web', 'www', '0123456789ab'], addresses: ['10.0.0.2', 'fd00::2'] } as const;

test('answers have the bytes that dnsmasq and unbound send', () => {
  const { bytes } = world([web]);
  const same: readonly (readonly [program: string, command: string])[] = [
    ['dnsmasq', 'web.skein.local A'],
    ['dnsmasq', 'WEB.Skein.Local A +noedns'],
    ['dnsmasq', 'web.skein.local AAAA'],
    ['dnsmasq', 'web.skein.local A +nocookie +bufsize=600'],
    ['unbound', 'web.skein.local A'],
    ['unbound', 'WEB.Skein.Local A +noedns'],
    ['unbound', 'web.skein.local AAAA'],
    ['unbound', 'web.skein.local MX'],
    ['unbound', 'nope.skein.local A'],
    ['unbound', 'web.skein.local A +dnssec'],
    ['unbound', '-x 10.0.0.2'],
  ];
  for (const [program, command] of same) {
    const one =
      captured.find((found) => found.program === program && found.command === command) ?? assert.fail(command);
    const answered = bytes(Buffer.from(one.asked, 'hex'))?.toString('hex');
    assert.equal(answered, one.answered, `${program}: ${command}`);
  }
  // Unbound leaves out the target's addresses.
  const service = world([{ ...web, addresses: [], ports: [{ name: 'http', protocol: 'tcp', port: 80 }] }]);
  const srv = captured.find((one) => one.program === 'unbound' && one.command.endsWith('SRV')) ?? assert.fail();
  assert.equal(service.bytes(Buffer.from(srv.asked, 'hex'))?.toString('hex'), srv.answered);
});

test('a name is known alone, on its network, in the domain, and both', () => {
  const { ask } = world([web]);
  const names = [
    'web',
    'WEB',
    'www',
    '0123456789ab',
    'web.demo',
    'Www.Demo',
    'web.skein.local',
    'web.demo.skein.local',
  ];
  for (const name of [...names, ...names.map((one) => `${one}.`)]) {
    assert.deepEqual(data(ask(name.replace(/\.$/, ''))), ['10.0.0.2'], name);
    assert.deepEqual(data(ask(name.replace(/\.$/, ''), { type: 'AAAA' })), ['fd000000000000000000000000000002'], name);
  }
  assert.equal(told(ask('wEb.DEMO')).question, 'wEb.DEMO A', 'as it was asked');
});

test('only who shares a network is seen', () => {
  const { ask } = world([web]);
  assert.equal(ask('web', { sees: ['other'] }), 'foreign');
  assert.equal(ask('web.demo', { sees: ['other'] }), 'foreign');
  assert.deepEqual([told(ask('web.skein.local', { sees: ['other'] })).rcode], [3]);
  assert.equal(ask('2.0.0.10.in-addr.arpa', { type: 'PTR', sees: ['other'] }), 'foreign');
});

test('of several networks that have a name the first one seen answers', () => {
  const { ask } = world([web, { network: 'other', names: ['web'], addresses: ['10.1.0.2'] }]);
  assert.deepEqual(data(ask('web', { sees: ['demo', 'other'] })), ['10.0.0.2']);
  assert.deepEqual(data(ask('web', { sees: ['other', 'demo'] })), ['10.1.0.2']);
  assert.deepEqual(data(ask('web.demo', { sees: ['other', 'demo'] })), ['10.0.0.2']);
});

test('of names with dots the longest is tried first', () => {
  const of = (network: string, name: string, address: string) => ({ network, names: [name], addresses: [address] });
  const a = of('b.c', 'a', '10.0.0.1');
  const ab = of('c', 'a.b', '10.0.0.2');
  const abc = of('demo', 'a.b.c', '10.0.0.3');
  const orders = [
    ['b.c', 'c', 'demo'],
    ['demo', 'c', 'b.c'],
  ];
  for (const sees of orders) {
    for (const name of ['a.b.c', 'a.b.c.skein.local']) {
      assert.deepEqual(data(world([a, ab, abc]).ask(name, { sees })), ['10.0.0.3']);
      assert.deepEqual(data(world([a, ab]).ask(name, { sees })), ['10.0.0.2']);
      assert.deepEqual(data(world([a]).ask(name, { sees })), ['10.0.0.1']);
    }
  }
});

test('a container may be called as our domain ends', () => {
  const { ask } = world([{ network: 'demo', names: ['svc1.skein.local'], addresses: ['10.0.0.9'] }]);
  assert.deepEqual(data(ask('svc1.skein.local')), ['10.0.0.9']);
});

test('several domains are served, the root of each among them', () => {
  const { ask } = world([web], ['skein.local', 'weave.local', 'local']);
  for (const domain of ['skein.local', 'weave.local', 'local']) {
    assert.deepEqual(data(ask(`web.${domain}`)), ['10.0.0.2']);
    const root = told(ask(domain));
    assert.deepEqual([root.rcode, root.records[1]], [0, [soa(domain)]]);
  }
  assert.deepEqual(told(ask('nope.local')).records[1], [soa('local')]);
});

test('all who have a name answer, in an order that changes', () => {
  const many = Array.from({ length: 8 }, (_, n) => ({
    network: 'demo',
    names: ['web'],
    addresses: [`10.0.0.${n + 2}`],
  }));
  const { ask } = world(many);
  const firsts = new Set<string>();
  for (let n = 0; n < 400; n++) {
    const found = data(ask('web'));
    assert.equal(new Set(found).size, 8);
    firsts.add(found[0] ?? '');
  }
  assert.equal(firsts.size, 8, 'each was the first once');
});

test('fifty addresses come whole where they fit, and as many as fit where they do not', () => {
  const many = Array.from({ length: 50 }, (_, n) => ({
    network: 'demo',
    names: ['web'],
    addresses: [`10.0.0.${n + 2}`],
  }));
  const { bytes } = world(many);
  for (const [size, count] of [
    [undefined, 30],
    [512, 30],
    [600, 35],
    [1232, 50],
    [4096, 50],
  ] as const) {
    const found = bytes(ask('web', size === undefined ? {} : { size })) ?? assert.fail();
    assert.ok(found.length <= Math.min(size ?? 512, 1232));
    assert.deepEqual([tell(found).records[0].length, tell(found).flags.includes('TC')], [count, count < 50]);
  }
});

test('a known name without the type is empty, with a SOA; an unknown one of ours is denied', () => {
  const { ask } = world([{ ...web, addresses: ['10.0.0.2'] }]);
  const of = (name: string, type: keyof typeof TYPE = 'A') => {
    const { rcode, records, flags } = told(ask(name, { type }));
    return [rcode, ...records.flat(), flags.includes('AA')];
  };
  assert.deepEqual(of('web', 'AAAA'), [0, soa('web'), true]);
  assert.deepEqual(of('web.skein.local', 'AAAA'), [0, soa('skein.local'), true]);
  assert.deepEqual(of('web.demo', 'TXT'), [0, soa('web.demo'), true]);
  assert.deepEqual(of('nope.skein.local'), [3, soa('skein.local'), true]);
  assert.deepEqual(of('nope.demo.skein.local'), [3, soa('skein.local'), true]);
  assert.deepEqual(of('demo.skein.local'), [0, soa('skein.local'), true], 'there is something below it');
});

test('a name that others end in is empty, and not denied', () => {
  const { ask, names } = world([{ ...web, names: ['a.b'] }]);
  names.putNetwork({ id: 'other', name: 'x.y', subnets: [] });
  const rcodes = ['b', 'b.demo', 'y', 'x.y', 'demo', 'a', 'a.demo', 'x'].map(
    (name) => told(ask(`${name}.skein.local`, { sees: ['demo', 'other'] })).rcode,
  );
  assert.deepEqual(rcodes, [0, 0, 0, 0, 0, 3, 3, 3]);
});

test('a container may be called as its network is', () => {
  const { ask } = world([{ ...web, names: ['demo'] }]);
  assert.deepEqual(data(ask('demo.skein.local')), ['10.0.0.2']);
});

test('what is denied is not said to be a zone', () => {
  const { ask, names } = world([web]);
  names.put({ id: '0', ...web, lost: true });
  const owner = (name: string, type: keyof typeof TYPE = 'A') => told(ask(name, { type })).records[1][0]?.split(' ')[0];
  assert.deepEqual([owner('web'), owner('web.demo'), owner('web.skein.local')], ['', 'demo', 'skein.local']);
  assert.equal(owner('9.0.0.10.in-addr.arpa', 'PTR'), '0.0.10.in-addr.arpa');
  assert.deepEqual([told(ask('_http._tcp.web')).rcode, owner('_http._tcp.web')], [3, 'web']);
});

test('answers over TCP point to no name that a pointer does not reach', () => {
  const names = new Names();
  names.putNetwork({ id: 'n', name: 'demo', subnets: [] });
  for (let n = 0; n < 600; n++) {
    const ports = [{ name: 'http', protocol: 'tcp', port: 80 }] as const;
    const own = ['web', `web${n}`.padStart(40, 'x')];
    names.put({ id: String(n), network: 'n', names: own.reverse(), addresses: ['10.0.0.2'], ports });
  }
  const question = ask('_http._tcp.web', { type: 'SRV' });
  const query = decodeQuery(question);
  if (query?.kind !== 'query') return assert.fail();
  const length = answer(reply, question, query, 65535, { zones: [names.see('n')], domains: [] });
  const found = tell(Buffer.from(reply.bytes.subarray(0, length)));
  assert.equal(found.records[0].length, 600);
  assert.ok(found.records[2].length > 200 && found.records[2].length < 300);
  for (const record of found.records[2]) assert.match(record, /^x+web\d+\.demo 1 A /);
});

test('which of several comes first is chance', () => {
  const names = new Names();
  for (const n of [1, 2, 3]) names.put({ id: String(n), network: 'n', names: ['web'], addresses: [`10.0.0.${n}`] });
  const question = ask('web');
  const query = decodeQuery(question);
  if (query?.kind !== 'query') return assert.fail();
  const of = (chance: number) => {
    const seen = { zones: [names.see('n')], domains: [], chance: () => chance };
    const length = answer(reply, question, query, 512, seen);
    return data(tell(Buffer.from(reply.bytes.subarray(0, length))));
  };
  assert.deepEqual(of(0.99), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  assert.deepEqual(of(0), ['10.0.0.2', '10.0.0.3', '10.0.0.1']);
});

test('other names are others to answer', () => {
  const { ask } = world([web]);
  for (const name of ['example.com', 'nas', 'web.example.com', 'xskein.local', 'local', '.', 'a.web']) {
    assert.equal(ask(name), 'foreign', name);
  }
});

test('the holders that are lost are passed over; a name that only they have is denied and asked of nobody', () => {
  const { ask, names } = world([web, { ...web, addresses: ['10.0.0.3'], lost: true }]);
  assert.deepEqual(data(ask('web')), ['10.0.0.2']);
  assert.equal(told(ask('3.0.0.10.in-addr.arpa', { type: 'PTR' })).rcode, 3);
  names.put({ id: '0', ...web, lost: true });
  assert.equal(told(ask('web')).rcode, 3);
  names.put({ id: '0', ...web });
  assert.deepEqual(data(ask('web')), ['10.0.0.2']);
});

test('who is lost on one network hides nobody on another', () => {
  const there = { network: 'other', names: ['web', '0123456789ab'], addresses: ['10.0.1.2', '10.0.0.2'] } as const;
  const literally = { network: 'demo', names: ['web.other', 'web.skein.local', 'a.web.skein.local'], addresses: [] };
  const { ask } = world([{ ...web, lost: true }, there, { ...literally, lost: true }]);
  const sees = ['demo', 'other'];
  for (const name of ['web', 'web.skein.local', 'web.other', 'web.other.skein.local']) {
    assert.deepEqual(new Set(data(ask(name, { sees }))), new Set(there.addresses), name);
  }
  assert.deepEqual(data(ask('2.0.0.10.in-addr.arpa', { type: 'PTR', sees })), ['web.other']);
  assert.equal(told(ask('web.demo', { sees })).rcode, 3);
  assert.equal(told(ask('www.skein.local', { sees })).rcode, 3);
});

test('addresses of our networks have names, or are nobody’s', () => {
  const { ask } = world([web]);
  const reverse6 = `2.${'0.'.repeat(29)}d.f.ip6.arpa`;
  assert.deepEqual(data(ask('2.0.0.10.in-addr.arpa', { type: 'PTR' })), ['web.demo']);
  assert.deepEqual(data(ask('2.0.0.10.IN-ADDR.arpa', { type: 'PTR' })), ['web.demo']);
  assert.equal(told(ask('9.0.0.10.in-addr.arpa', { type: 'PTR' })).rcode, 3);
  assert.deepEqual(told(ask('2.0.0.10.in-addr.arpa')).rcode, 0);
  assert.deepEqual(data(ask(reverse6, { type: 'PTR' })), ['web.demo']);
  for (const name of [
    '2.0.1.10.in-addr.arpa',
    '02.0.0.10.in-addr.arpa',
    '256.0.0.10.in-addr.arpa',
    '0.0.10.in-addr.arpa',
    '1.2.0.0.10.in-addr.arpa',
    'a.b.ip6.arpa',
    `zz.${reverse6}`,
    reverse6.replace('0.0', '00'),
  ]) {
    assert.equal(ask(name, { type: 'PTR' }), 'foreign', name);
  }
});

test('ports are found by service and protocol, with the addresses of who offers them', () => {
  const http = { name: 'http', protocol: 'tcp', port: 8080 } as const;
  const { ask } = world([
    { ...web, ports: [http] },
    { network: 'demo', names: ['db'], addresses: ['10.0.0.3'] },
  ]);
  const found = told(ask('_http._tcp.web', { type: 'SRV' }));
  assert.deepEqual(found.records, [
    ['_http._tcp.web 1 SRV 0 0 8080 web.demo'],
    [],
    ['web.demo 1 A 10.0.0.2', 'web.demo 1 AAAA fd000000000000000000000000000002'],
  ]);
  assert.deepEqual(data(ask('_http._tcp.web.demo.skein.local', { type: 'SRV' })), ['0 0 8080 web.demo.skein.local']);
  const rcodes = ['_tcp.web', '_http._tcp.web', '_smtp._tcp.web', '_udp.web', '_http._tcp.db'].map(
    (name) => told(ask(name)).rcode,
  );
  assert.deepEqual(rcodes, [0, 0, 3, 3, 3]);
  assert.equal(ask('_http._tcp.example.com', { type: 'SRV' }), 'foreign');
  assert.equal(told(ask('_http._tcp.nope.skein.local', { type: 'SRV' })).rcode, 3);
});

test('every type at once are both families; another class is refused', () => {
  const { ask } = world([web]);
  assert.equal(data(ask('web', { type: 'ANY' })).length, 2);
  assert.equal(told(ask('web', { class: 3 })).rcode, 5);
});

test('for who may ask nobody outside, nothing is there', () => {
  const question = ask('Example.com', { size: 1232 });
  const query = decodeQuery(question);
  if (query?.kind !== 'query') return assert.fail();
  const length = answerNothingOutside(reply, question, query, 1232, { zones: [], domains: [] });
  const found = tell(Buffer.from(reply.bytes.subarray(0, length)));
  assert.deepEqual([found.rcode, found.flags, found.records[1].length], [3, ['QR', 'RD', 'RA'], 1]);
  assert.match(found.records[1][0] ?? '', /^ 1 SOA /, 'of the root');
  const names = new Names();
  names.putNetwork({ id: 'n', name: 'b.c', subnets: [] });
  const seen = { zones: [names.see('n')], domains: [toWireName('skein.local') ?? ''] };
  const rcodes = ['.', 'local', 'c', 'b.c', 'b', 'xlocal'].map((name) => {
    const above = ask(name);
    const asked = decodeQuery(above);
    if (asked?.kind !== 'query') return assert.fail();
    answerNothingOutside(reply, above, asked, 512, seen);
    return reply.bytes.readUInt8(3) & 15;
  });
  assert.deepEqual(rcodes, [0, 0, 0, 0, 3, 3]);
});
