import type { Family } from '../lib/prefix.ts';

/** Addresses and links of a lab. The first host is .10, as in the walk-throughs. */

/** The lab's own etcd and the router, in the place that also is the switch; documentation addresses for the Internet. */
const plans = {
  4: {
    host: (i: number) => `192.168.205.${10 + i}`,
    length: 24,
    all: '0.0.0.0/0',
    network: '192.168.205.0/24',
    router: '192.168.205.1',
    store: '192.168.205.2',
    outside: '203.0.113.7',
    exit: '203.0.113.1',
    outsideLength: 24,
  },
  6: {
    host: (i: number) => `fd00:205::${(16 + i).toString(16)}`,
    length: 64,
    all: '::/0',
    network: 'fd00:205::/64',
    router: 'fd00:205::1',
    store: 'fd00:205::2',
    outside: '2001:db8:7::7',
    exit: '2001:db8:7::1',
    outsideLength: 64,
  },
} as const;

export const mostHosts = 64;

export interface Plan {
  readonly underlay: Family;
  readonly mtu: number;
  readonly hosts: readonly { readonly name: string; readonly address: string }[];
  readonly store: string;
}

export function hostName(index: number): string {
  return `h${index + 1}`;
}

export function planOf(hosts: number, underlay: Family, mtu: number): Plan {
  const plan = plans[underlay];
  return {
    underlay,
    mtu,
    hosts: Array.from({ length: hosts }, (_, i) => ({ name: hostName(i), address: plan.host(i) })),
    store: `etcd://${bracketed(plan.store)}:2379`,
  };
}

/** `address:port` and `[address]:port` */
export function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

/** Over IPv4 hosts have both families, over IPv6 that alone: so what works there needs no IPv4. */
function familiesOf({ underlay }: Plan): readonly Family[] {
  return underlay === 4 ? [4, 6] : [6];
}

/** Lines for `ip -batch` in the switch: a bridge, a cable to each host, the router's addresses and the store's. */
export function switchLines(plan: Plan, pids: ReadonlyMap<string, number>): readonly string[] {
  const families = familiesOf(plan);
  return [
    `link add br0 mtu ${plan.mtu} type bridge stp_state 0 mcast_snooping 0`,
    ...families.flatMap((family) =>
      [plans[family].router, plans[family].store].map((address) => add(address, plans[family].length, 'br0')),
    ),
    'link set br0 up',
    ...plan.hosts.flatMap(({ name }) => [
      `link add ${name} mtu ${plan.mtu} type veth peer name eth0 mtu ${plan.mtu} netns ${pids.get(name)}`,
      `link set ${name} master br0 up`,
    ]),
    `link add outside type veth peer name eth0 netns ${pids.get('outside')}`,
    ...families.map((family) => add(plans[family].exit, plans[family].outsideLength, 'outside')),
    'link set outside up',
  ];
}

export function hostLines(plan: Plan, address: string): readonly string[] {
  const index = plan.hosts.findIndex((host) => host.address === address);
  const families = familiesOf(plan);
  return [
    ...families.map((family) => add(plans[family].host(index), plans[family].length, 'eth0')),
    'link set eth0 up',
    ...families.map((family) => `route add ${plans[family].all} via ${plans[family].router}`),
  ];
}

/** The Internet has a way back to the hosts' addresses and to no others. */
export function outsideLines(plan: Plan): readonly string[] {
  const families = familiesOf(plan);
  return [
    ...families.map((family) => add(plans[family].outside, plans[family].outsideLength, 'eth0')),
    'link set eth0 up',
    ...families.map((family) => `route add ${plans[family].network} via ${plans[family].exit}`),
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
