import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { keyOf, type Piece } from './dataplane.ts';
import { ObjectMap } from './object-map.ts';
import { formatObject, idOf, type KernelObject, linkId, object } from './objects.ts';
import { Pieces } from './pieces.ts';
import { formatStep, plan, type Step } from './plan.ts';
import { network, piecesFor, portOf, remoteOf } from './sample.ts';

const h1 = { number: 1, data: '10.9.0.1' };
const h2 = { number: 2, data: '10.9.0.2' };
const full = piecesFor(h1, [h2]);

function piecesOf(pieces: readonly Piece[]): Pieces {
  const all = new Pieces();
  all.change({ put: pieces });
  return all;
}

function objectsOf(pieces: Pieces): KernelObject[] {
  return [...pieces.ids()].map((id) => pieces.get(id)).filter((o) => o !== undefined);
}

/** A kernel that does what it is told, and takes with a thing what hangs on it. */
function obey(actual: ObjectMap, steps: readonly Step[]): void {
  for (const step of steps) {
    const id = idOf(step.object);
    if (step.do === 'remove') for (const each of actual.tree(id)) actual.delete(idOf(each));
    else actual.set(step.object);
  }
}

const format = (objects: Iterable<KernelObject>) => [...objects].map(formatObject).toSorted().join('\n');
const steps = (list: readonly Step[]) => list.map((step) => `${step.do} ${step.object.key}`);

test('what is as it should be needs no step', () => {
  const pieces = piecesOf(full);
  const actual = new ObjectMap();
  obey(actual, plan(pieces.ids(), pieces, actual));
  assert.equal(format(actual.values()), format(objectsOf(pieces)));
  assert.deepEqual(plan([...pieces.ids(), ...actual.ids()], pieces, actual), []);
});

test('any walk through states ends where its last state says', () => {
  const pool: readonly Piece[] = [
    ...full,
    remoteOf({ number: 3, data: '10.9.0.3' }),
    { ...portOf(h1), mac: '02:42:0a:00:00:77' },
    { ...portOf(h1), interface: 'eth5', port: 'veth5' },
    { ...network, mtu: 1400 },
    { ...network, vni: 300 },
    { kind: 'underlay', data: 'fd99::1', port: 4789 },
    { ...remoteOf(h2), endpoint: 'moved', via: '10.9.0.3' },
    ...second,
  ];
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(pool.length - 1)), { maxLength: 60 }), (walk) => {
      const pieces = new Pieces();
      const actual = new ObjectMap();
      for (const [put, i] of walk) {
        const piece = pool[i];
        if (!piece) continue;
        const { touched } = pieces.change(put ? { put: [piece] } : { remove: [keyOf(piece)] });
        obey(actual, plan(touched, pieces, actual));
        assert.equal(format(actual.values()), format(objectsOf(pieces)));
      }
    }),
  );
});

test('a change taken back leaves what was there', () => {
  const pieces = piecesOf(full);
  const before = format(objectsOf(pieces));
  const { undo } = pieces.change({
    put: [remoteOf({ number: 3, data: '10.9.0.3' })],
    remove: [keyOf(portOf(h1)), keyOf(network)],
  });
  assert.notEqual(format(objectsOf(pieces)), before);
  pieces.change(undo);
  assert.equal(format(objectsOf(pieces)), before);
});

test('a piece that cannot be understood changes nothing', () => {
  const pieces = piecesOf(full);
  const before = format(objectsOf(pieces));
  assert.throws(() => pieces.change({ put: [{ ...portOf(h1), addresses: ['10.0.0.1000/24'] }] }), /not an IP address/);
  assert.equal(format(objectsOf(pieces)), before);
  assert.equal(pieces.change({ put: full }).touched.size, 0);
});

test('a port has its rules before it is up, and is cut off before anything else is removed', () => {
  const pieces = piecesOf(full);
  const actual = new ObjectMap();
  const up = steps(plan(pieces.ids(), pieces, actual));
  assert.ok(up.indexOf('add nft-chain netdev skein veth0') < up.indexOf('add up veth0'));
  assert.ok(up.indexOf('add link veth0') < up.indexOf('add nft-chain netdev skein veth0'));
  assert.ok(up.indexOf('add redirect vxlan0 02:42:0a:00:00:11') < up.indexOf('add shortcut veth0'));
  assert.ok(up.indexOf('add shortcut veth0') < up.indexOf('add up veth0'));
  assert.ok(up.indexOf('add up br0') < up.indexOf('add up vxlan0'));
  obey(actual, plan(pieces.ids(), pieces, actual));
  const { touched } = pieces.change({ remove: [keyOf(portOf(h1))] });
  assert.deepEqual(steps(plan(touched, pieces, actual)), [
    'remove redirect vxlan0 02:42:0a:00:00:11',
    'remove link veth0',
    'remove nft-chain netdev skein veth0',
  ]);
});

/** The same container on another network, too. */
const second: readonly Piece[] = [
  { ...network, id: '77aa00bb1100', namespace: '2-77aa00bb11', vni: 257, gateways: ['10.1.0.1/24', 'fd02::1/64'] },
  {
    ...portOf(h1),
    ...{ network: '77aa00bb1100', endpoint: 'e1-2', interface: 'eth2', mac: '02:42:0a:01:00:11' },
    addresses: ['10.1.0.11/24', 'fd02::11/64'],
  },
];

test('a route that another interface takes over is moved before the first one goes, and is not told twice', () => {
  const pieces = piecesOf([...full, ...second]);
  const actual = new ObjectMap();
  obey(actual, plan(pieces.ids(), pieces, actual));
  const { touched } = pieces.change({ remove: [keyOf(portOf(h1))] });
  const list = plan(touched, pieces, actual).map(formatStep);
  const sandbox = 'a00000000001';
  assert.deepEqual(list.slice(0, 2).toSorted(), [
    `change ${sandbox} route 169.254.53.53/32 {"device":"eth2"}`,
    `change ${sandbox} route fd53::53/128 {"device":"eth2"}`,
  ]);
  assert.ok(
    list.includes(formatStep({ do: 'remove', object: actual.get('1-3d430f3338 link veth0') ?? assert.fail() })),
  );
  assert.equal(list.filter((line) => line.includes('route')).length, 2);
  obey(actual, plan(touched, pieces, actual));
  assert.deepEqual(plan([...pieces.ids(), ...actual.ids()], pieces, actual), []);
});

test('a route moves to the first interface once its network has who answers there', () => {
  const pieces = piecesOf([...full.filter((piece) => piece !== network && piece.kind !== 'port'), ...second]);
  const actual = new ObjectMap();
  obey(actual, plan(pieces.ids(), pieces, actual));
  const { touched } = pieces.change({ put: [network, portOf(h1)] });
  const list = steps(plan(touched, pieces, actual));
  assert.ok(list.indexOf('add socket udp 169.254.53.53 53') > list.indexOf('add up eth0'));
  assert.ok(list.indexOf('change route 169.254.53.53/32') > list.indexOf('add socket udp 169.254.53.53 53'));
});

test('a route waits for the interface that it moves to, where that is made anew', () => {
  const pieces = piecesOf([...full, ...second]);
  const actual = new ObjectMap();
  obey(actual, plan(pieces.ids(), pieces, actual));
  const [, port] = second;
  assert.ok(port?.kind === 'port');
  const { touched } = pieces.change({ remove: [keyOf(portOf(h1))], put: [{ ...port, interface: 'eth3' }] });
  const list = steps(plan(touched, pieces, actual));
  assert.ok(list.indexOf('add up eth3') < list.indexOf('add route 169.254.53.53/32'));
  obey(actual, plan(touched, pieces, actual));
  assert.deepEqual(plan([...pieces.ids(), ...actual.ids()], pieces, actual), []);
});

test('what hangs on a link that must be made anew is made anew', () => {
  const pieces = piecesOf(full);
  const actual = new ObjectMap();
  obey(actual, plan(pieces.ids(), pieces, actual));
  const { touched } = pieces.change({ put: [{ ...network, vni: 300 }] });
  const list = steps(plan(touched, pieces, actual));
  assert.ok(list.indexOf('remove link vxlan0') < list.indexOf('add link vxlan0'));
  assert.equal(list[0], 'remove shortcut veth0');
  assert.ok(list.indexOf('add link vxlan0') < list.indexOf('add shortcut veth0'));
  assert.ok(list.includes('add neighbour vxlan0 10.0.0.12'));
  assert.ok(list.includes('add vxlan-fdb vxlan0 02:42:0a:00:00:12'));
});

test('a step costs what it touches: one remote among many takes its own entries', () => {
  const pieces = piecesOf(full);
  const actual = new ObjectMap();
  obey(actual, plan(pieces.ids(), pieces, actual));
  const { touched } = pieces.change({ put: [remoteOf({ number: 3, data: '10.9.0.3' })] });
  assert.equal(touched.size, 5);
});

test('of two that ask for one entry the later has it, and when it goes the earlier has it again', () => {
  const pieces = piecesOf(full);
  const id = `${network.namespace} vxlan-fdb vxlan0 02:42:0a:00:00:12`;
  const moved: Piece = { ...remoteOf(h2), endpoint: 'moved', via: '10.9.0.3' };
  pieces.change({ put: [moved] });
  assert.deepEqual(pieces.get(id)?.spec, { via: '10.9.0.3' });
  pieces.change({ remove: [keyOf(moved)] });
  assert.deepEqual(pieces.get(id)?.spec, { via: '10.9.0.2' });
});

test('a namespace that goes takes what is in it along', () => {
  const actual = new ObjectMap();
  const id = linkId('1-aa', 'br0');
  const there = [
    object.netns('1-aa'),
    object.bridge('1-aa', 'br0', { mac: 'x', mtu: 1 }),
    object.up('1-aa', 'br0', id),
  ];
  for (const each of there) actual.set(each);
  assert.deepEqual(plan(actual.ids(), new Pieces(), actual).map(formatStep), ['remove host netns 1-aa']);
});
