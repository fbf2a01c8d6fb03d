import { attach } from './attach/attach.ts';
import type { Bench } from './bench.ts';
import { dataplane } from './dataplane/dataplane.ts';
import { dns } from './dns/dns.ts';
import { footprint } from './footprint/footprint.ts';
import { mesh } from './mesh/mesh.ts';
import { propagation } from './propagation/propagation.ts';
import { repair } from './repair/repair.ts';

/** Every bench, by the name that `npm run bench -- NAME` takes. */
export const benches = {
  dataplane: { sentence: 'a packet between containers on two hosts, against other paths', bench: dataplane },
  attach: { sentence: 'connecting a namespace to a network, and disconnecting it', bench: attach },
  propagation: { sentence: 'from an attach on one host to an answer from another', bench: propagation },
  footprint: { sentence: 'memory and start of the built package', bench: footprint },
  mesh: { sentence: 'five hosts without a store: attaches, until all know, and a host that dies', bench: mesh },
  dns: { sentence: 'questions for names, against a dnsmasq that has the same', bench: dns },
  repair: { sentence: '1000 endpoints: a daemon started again, and all rules lost', bench: repair },
} as const satisfies Record<string, { readonly sentence: string; readonly bench: Bench }>;

export function isBench(name: string | undefined): name is keyof typeof benches {
  return name !== undefined && Object.hasOwn(benches, name);
}
