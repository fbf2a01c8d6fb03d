import type { Paths } from '../controllers/hosts/hosts.ts';
import { openPaths, type PathsNeeds } from '../controllers/hosts/paths.ts';
import type { WithProbes } from '../dataplane/open.ts';
import type { ProbeInit } from '../dataplane/probe/place.ts';
import type { Probes } from '../dataplane/probe/probe.ts';
import { isKernelError } from '../kernel/kernel-error.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';

/** Either works, or it is known why not: a host without probes is as good as any other, but says less. */
export type Probing = { readonly probes: Probes } | { readonly refused: string };

/** Opens the probes' tunnel, the first of this daemon: it finds out whether there can be any. */
export async function openProbing(
  dataplane: Pick<WithProbes, 'openProbes'>,
  init: ProbeInit,
  log: Log,
): Promise<Probing> {
  try {
    return { probes: await dataplane.openProbes(init) };
  } catch (error) {
    const refused = isKernelError(error, 'EADDRINUSE', 'EEXIST')
      ? `UDP port ${init.port} is taken on this host by what a VXLAN device of ours cannot share it with (a program, or a device in external mode, also called collect-metadata): no network works here; end that, or start the cluster anew with another --data-port`
      : `the ways to other hosts are not probed: ${messageOf(error)}`;
    log.warn('no tunnel for probes', { reason: refused });
    return { refused };
  }
}

export function openProblems(probing: Probing, needs: Omit<PathsNeeds, 'probes'>, device: string): Paths {
  if ('probes' in probing) return openPaths({ ...needs, probes: probing.probes }, { device });
  const problem = { kind: 'port', sentence: probing.refused, since: new Date(needs.now()).toISOString() } as const;
  return { problems: () => [problem], close: async () => undefined };
}
