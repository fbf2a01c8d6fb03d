import { type Family, firstOf, formatAddress, lastOf, parsePrefix } from '../../../lib/prefix.ts';
import type { MeshAllocator } from '../allocator.ts';
import type { MeshCatalog } from '../catalog.ts';
import type { HostName, Numbers, RangeState } from '../membership.ts';
import { numbersOf } from '../owned.ts';
import { isNetworkRing, type Ring } from '../ring.ts';
import type { Member } from '../sheets.ts';

export interface RangesNeeds {
  readonly allocator: Pick<MeshAllocator, 'survey' | 'conflicts'>;
  readonly catalog: Pick<MeshCatalog, 'known'>;
  readonly named: (id: string) => HostName;
  readonly members: readonly Member[];
}

const mostSpans = 64;

/** Who owns which numbers: of networks what lies in their subnets. */
export function rangesOf({ allocator, catalog, named, members }: RangesNeeds): readonly RangeState[] {
  const alive = new Set(members.flatMap(({ id, state }) => (state === 'alive' ? [id] : [])));
  const conflicts = Map.groupBy(allocator.conflicts(), ({ ring }) => ring);
  return allocator.survey().flatMap(({ ring, tops, held }) => {
    const about = aboutOf(ring, catalog);
    if (about === undefined) return [];
    const spans = about.windows.flatMap(([first, last]) => tops.within(first, last));
    const used = held.map((item) => numbersOf(ring, item)[0]);
    const owners = Map.groupBy(spans, ({ value }) => value.owner);
    return [...owners]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(
        ([owner, mine]): RangeState => ({
          numbers: about.numbers,
          owner: named(owner),
          spans: mine
            .slice(0, mostSpans)
            .map(({ first, last }) => ({ first: about.text(first), last: about.text(last) })),
          more: Math.max(0, mine.length - mostSpans),
          count: mine.reduce<bigint>((sum, { first, last }) => sum + last - first + 1n, 0n),
          used: used.filter((number) => mine.some(({ first, last }) => number >= first && number <= last)).length,
          reachable: alive.has(owner),
          conflicts: (conflicts.get(ring.id) ?? [])
            .filter(({ hosts }) => hosts.includes(owner))
            .map(
              ({ item, hosts }) =>
                `${item} is held on ${hosts.map((host) => named(host).name ?? host).join(' and ')}: remove one of the containers`,
            ),
        }),
      );
  });
}

interface About {
  readonly numbers: Numbers;
  readonly windows: readonly (readonly [bigint, bigint])[];
  readonly text: (number: bigint) => string;
}

function aboutOf(ring: Ring, catalog: Pick<MeshCatalog, 'known'>): About | undefined {
  if (ring.id === 'vnis') return { numbers: { kind: 'vnis' }, windows: [[0n, ring.last]], text: String };
  const family: Family = ring.id.endsWith('-6') ? 6 : 4;
  const text = (value: bigint) => formatAddress({ family, value });
  if (!isNetworkRing(ring)) return { numbers: { kind: 'subnets', family }, windows: [[0n, ring.last]], text };
  const id = ring.id.slice(0, 64);
  const network = catalog.known(id);
  if (network === undefined) return undefined;
  const windows = network.subnets
    .map(({ subnet }) => parsePrefix(subnet))
    .filter(({ address }) => address.family === family)
    .map((prefix) => [firstOf(prefix), lastOf(prefix)] as const);
  return { numbers: { kind: 'addresses', network: { id, name: network.name }, family }, windows, text };
}
