import type { Client, ConnectionView, PeerView, RangeView, TargetView } from '../../adapters/api/client.ts';
import { type ListingOptions, printListing } from '../listing.ts';
import { formatDuration } from '../table.ts';
import { nameOf } from './names.ts';

/** What `skein status` shows of a mesh, part by part. */
export const meshParts = {
  peers: async (client: Client, options: ListingOptions) => {
    const rows = (await client.call('listPeers', {})).map(peerRow);
    const headers = {
      ID: 'HOST ID',
      Name: 'NAME',
      Role: 'ROLE',
      State: 'STATE',
      Addresses: 'ADDRESSES',
      Links: 'LINKS',
    };
    const columns = ['ID', 'Name', 'Role', 'State', 'Addresses', 'Links'] as const;
    await printListing({ rows, headers, columns, id: 'ID' }, options);
  },
  connections: async (client: Client, options: ListingOptions) => {
    const now = Date.now();
    const rows = (await client.call('listConnections', {})).map((connection) => connectionRow(connection, now));
    const headers = {
      ...{ Dialled: 'DIALLED', Address: 'ADDRESS', Peer: 'PEER', State: 'STATE', Since: 'SINCE', RTT: 'RTT' },
      ...{ Data: 'DATA', MTU: 'MTU', Why: 'WHY' },
    };
    const columns = ['Dialled', 'Address', 'Peer', 'State', 'Since', 'RTT', 'Data', 'MTU', 'Why'] as const;
    await printListing({ rows, headers, columns, id: 'Address' }, options);
  },
  targets: async (client: Client, options: ListingOptions) => {
    const now = Date.now();
    const rows = (await client.call('listTargets', {})).map((target) => targetRow(target, now));
    const headers = { Address: 'ADDRESS', Host: 'HOST', Given: 'GIVEN', State: 'STATE', Next: 'NEXT TRY', Why: 'WHY' };
    const columns = ['Address', 'Host', 'Given', 'State', 'Next', 'Why'] as const;
    await printListing({ rows, headers, columns, id: 'Address' }, options);
  },
  ipam: async (client: Client, options: ListingOptions) => {
    const ranges = await client.call('listRanges', {});
    const rows = ranges.map((range) => rangeRow(range, ranges));
    const headers = {
      ...{ Numbers: 'NUMBERS', Owner: 'OWNER', Count: 'COUNT', Share: 'SHARE', Used: 'USED', State: 'STATE' },
      ...{ Ranges: 'RANGES', Conflicts: 'CONFLICTS' },
    };
    const columns = ['Numbers', 'Owner', 'Count', 'Share', 'Used', 'State', 'Ranges', 'Conflicts'] as const;
    await printListing({ rows, headers, columns, id: 'Numbers' }, options);
  },
} as const;

function peerRow({ id, name, role, state, self, addresses, links }: PeerView) {
  return {
    ID: `${id.slice(0, 12)}${self ? ' *' : ''}`,
    Name: name ?? '-',
    Role: role,
    State: state,
    Addresses: addresses.join(', '),
    Links: links
      .map(({ rtt, ...peer }) => `${nameOf(peer)}${rtt === undefined ? '' : ` ${milliseconds(rtt)}`}`)
      .join(', '),
  };
}

function connectionRow({ peer, address, dialled, state, since, rtt, why, data }: ConnectionView, now: number) {
  return {
    Dialled: dialled ? 'here' : 'there',
    Address: address,
    Peer: peer === undefined ? '-' : nameOf(peer),
    State: state,
    Since: formatDuration(now - Date.parse(since)),
    RTT: rtt === undefined ? '-' : milliseconds(rtt),
    Data: data?.kind ?? '-',
    MTU: data?.mtu ?? '-',
    Why: [why, data?.reason].filter((text) => text !== undefined).join('; '),
  };
}

function targetRow({ address, byHand, host, state, why, next }: TargetView, now: number) {
  return {
    Address: address,
    Host: host === undefined ? '-' : nameOf(host),
    Given: byHand ? 'by hand' : 'by others',
    State: state,
    Next: next === undefined ? '-' : `in ${formatDuration(Math.max(0, Date.parse(next) - now))}`,
    Why: why ?? '',
  };
}

/** More ranges than that would be a long line. */
const mostShown = 4;

function rangeRow(range: RangeView, all: readonly RangeView[]) {
  const { owner, spans, more, count, used, reachable, conflicts } = range;
  const ring = all.filter((other) => numbersOf(other) === numbersOf(range));
  const total = ring.reduce((sum, other) => sum + BigInt(other.count), 0n);
  const shown = spans.slice(0, mostShown).map(({ first, last }) => (first === last ? first : `${first}-${last}`));
  const hidden = spans.length - shown.length + more;
  return {
    Numbers: numbersOf(range),
    Owner: nameOf(owner),
    Count: count,
    Share: percent(BigInt(count), total),
    Used: used ?? '-',
    State: reachable ? 'reachable' : 'unreachable',
    Ranges: `${shown.join(', ')}${hidden > 0 ? ` and ${hidden} more` : ''}`,
    Conflicts: conflicts.join('; '),
  };
}

function numbersOf({ kind, network, family }: RangeView): string {
  switch (kind) {
    case 'addresses':
      return `${network === undefined ? '' : `${nameOf(network)} `}IPv${family ?? 4}`;
    case 'subnets':
      return `subnets IPv${family ?? 4}`;
    case 'vnis':
      return 'VNIs';
  }
}

function percent(part: bigint, whole: bigint): string {
  return whole === 0n ? '-' : `${(Number((part * 1000n) / whole) / 10).toFixed(1)}%`;
}

function milliseconds(rtt: number): string {
  return `${rtt < 10 ? rtt.toFixed(1) : Math.round(rtt)} ms`;
}
