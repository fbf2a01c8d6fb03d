import { attach } from './attach/attach.ts';
import type { Bench } from './bench.ts';
import { dataplane } from './dataplane/dataplane.ts';

/** Every bench, by the name that `npm run bench -- NAME` takes. */
export const benches = {
  dataplane: { sentence: 'a packet between containers on two hosts, against other paths', bench: dataplane },
  attach: { sentence: 'connecting a namespace to a network, and disconnecting it', bench: attach },
} as const satisfies Record<string, { readonly sentence: string; readonly bench: Bench }>;

export function isBench(name: string | undefined): name is keyof typeof benches {
  return name !== undefined && Object.hasOwn(benches, name);
}
