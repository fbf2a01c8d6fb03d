import type { Family } from '../lib/prefix.ts';

/**
 * Addresses and links of a lab. The first host is .10, as in the walk-throughs; hosts take turns on the subnets, so that
 * an address tells both.
 */

/** The lab's own etcd and the router, in the place that also is the switches; documentation addresses for the Internet. */
const plans = {
  4: {
    host: (subnet: number, i: number) => `192.168.${205 + subnet}.${10 + i}`,
    length: 24,
    all: '0.0.0.0/0',
    network: (subnet: number) => `192.168.${205 + subnet}.0/24`,
    router: (subnet: number) => `192.168.${205 + subnet}.1`,
    store: '192.168.205.2',
    outside: '203.0.113.7',
    exit: '203.0.113.1',
    outsideLength: 24,
  },
  6: {
    host: (subnet: number, i: number) => `fd00:${205 + subnet}::${(16 + i).toString(16)}`,
    length: 64,
    all: '::/0',
    network: (subnet: number) => `fd00:${205 + subnet}::/64`,
    router: (subnet: number) => `fd00:${205 + subnet}::1`,
    store: 'fd00:205::2',
    outside: '2001:db8:7::7',
    exit: '2001:db8:7::1',
    outsideLength: 64,
  },
} as const;

export const mostHosts = 64;
export const mostSubnets = 8;

export interface Plan {
  readonly underlay: Family;
  readonly mtu: number;
  readonly subnets: number;
  readonly hosts: readonly PlannedHost[];
  readonly store: string;
}

interface PlannedHost {
  readonly name: string;
  readonly index: number;
  readonly subnet: number;
  readonly address: string;
}

export function hostName(index: number): string {
  return `h${index + 1}`;
}

export function planOf(lab: {
  readonly hosts: number;
  readonly subnets: number;
  readonly underlay: Family;
  readonly mtu: number;
}): Plan {
  const { subnets, underlay, mtu } = lab;
  const plan = plans[underlay];
  const hosts = Array.from({ length: lab.hosts }, (_, index) => {
    const subnet = index % subnets;
    return { name: hostName(index), index, subnet, address: plan.host(subnet, index) };
  });
  return { underlay, mtu, subnets, hosts, store: `etcd://${bracketed(plan.store)}:2379` };
}

/** `address:port` and `[address]:port` */
export function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

/** Over IPv4 hosts have both families, over IPv6 that alone: so what works there needs no IPv4. */
function familiesOf({ underlay }: Plan): readonly Family[] {
  return underlay === 4 ? [4, 6] : [6];
}

function subnetsOf({ subnets }: Plan): readonly number[] {
  return Array.from({ length: subnets }, (_, subnet) => subnet);
}

/** Lines for `ip -batch` in the switches: a bridge a subnet, a cable to each host, the router's addresses and the store's. */
export function switchLines(plan: Plan, pids: ReadonlyMap<string, number>): readonly string[] {
  const families = familiesOf(plan);
  const { mtu } = plan;
  return [
    ...subnetsOf(plan).flatMap((subnet) => [
      `link add br${subnet} mtu ${mtu} type bridge stp_state 0 mcast_snooping 0`,
      ...families.map((family) => add(plans[family].router(subnet), plans[family].length, `br${subnet}`)),
      `link set br${subnet} up`,
    ]),
    ...families.map((family) => add(plans[family].store, plans[family].length, 'br0')),
    ...plan.hosts.flatMap(({ name, subnet }) => [
      `link add ${name} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${pids.get(name)}`,
      `link set ${name} master br${subnet} up`,
    ]),
    `link add outside type veth peer name eth0 netns ${pids.get('outside')}`,
    ...families.map((family) => add(plans[family].exit, plans[family].outsideLength, 'outside')),
    'link set outside up',
  ];
}

export function hostLines(plan: Plan, { index, subnet }: PlannedHost): readonly string[] {
  const families = familiesOf(plan);
  return [
    ...families.map((family) => add(plans[family].host(subnet, index), plans[family].length, 'eth0')),
    'link set eth0 up',
    ...families.map((family) => `route add ${plans[family].all} via ${plans[family].router(subnet)}`),
  ];
}

/** The Internet has a way back to the hosts' addresses and to no others. */
export function outsideLines(plan: Plan): readonly string[] {
  const families = familiesOf(plan);
  return [
    ...families.map((family) => add(plans[family].outside, plans[family].outsideLength, 'eth0')),
    'link set eth0 up',
    ...families.flatMap((family) =>
      subnetsOf(plan).map((subnet) => `route add ${plans[family].network(subnet)} via ${plans[family].exit}`),
    ),
  ];
}

/** Without duplicate address detection an address can be used at once. */
function add(address: string, length: number, device: string): string {
  return `addr add ${address}/${length} dev ${device}${address.includes(':') ? ' nodad' : ''}`;
}

export function hostsFile(plan: Plan): string {
  const lines = [
    '127.0.0.1 localhost',
    '::1 localhost ip6-localhost',
    ...plan.hosts.map(({ name, address }) => `${address} ${name}`),
    ...familiesOf(plan).map((family) => `${plans[family].outside} outside`),
  ];
  return `${lines.join('\n')}\n`;
}
