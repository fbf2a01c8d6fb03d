import type { PathProblem, Paths } from '../controllers/hosts/hosts.ts';
import { openPaths, type PathsNeeds } from '../controllers/hosts/paths.ts';
import type { Carrier } from '../dataplane/dataplane.ts';
import type { WithProbes } from '../dataplane/open.ts';
import type { ProbeInit } from '../dataplane/probe/place.ts';
import type { Probes } from '../dataplane/probe/probe.ts';
import { isKernelError } from '../kernel/kernel-error.ts';
import { pause } from '../lib/backoff.ts';
import { messageOf } from '../lib/errors.ts';
import { Serial } from '../lib/serial.ts';

/** Either works, or it is known why not: a host without probes is as good as any other, but says less. */
export type Probing = { readonly probes: Probes } | { readonly refused: string; readonly again: boolean };

/** A daemon that was killed leaves its tunnel to the kernel, which takes its time to remove it. In milliseconds. */
const grace = 10_000;
const between = 500;

/** With the MTU of this host's data interface. */
export type OpenProbes = (mtu: number) => Promise<Probing>;

/** Opens the tunnel of probes: it finds out whether this host can have any. */
export function probingOf(dataplane: Pick<WithProbes, 'openProbes'>, init: Omit<ProbeInit, 'mtu'>): OpenProbes {
  return async (mtu) => {
    try {
      return { probes: await dataplane.openProbes({ ...init, mtu }) };
    } catch (error) {
      if (!isKernelError(error, 'EADDRINUSE', 'EEXIST')) {
        return { refused: `the ways to other hosts are not probed: ${messageOf(error)}`, again: false };
      }
      const refused = `UDP port ${init.port} is taken on this host by what a VXLAN device of ours cannot share it with (a program, or a device in external mode, also called collect-metadata): no network works here; end that, or start the cluster anew with another --data-port`;
      return { refused, again: true };
    }
  };
}

type ProblemsNeeds = Omit<PathsNeeds, 'probes'> & { readonly open: OpenProbes };

/** Where packets leave. */
type Way = Pick<Carrier, 'device' | 'mtu'>;

export interface Problems extends Paths {
  /** All ways are probed anew, as they are by this interface and its MTU. Returns at once. */
  reopen(way: Way): void;
}

export function openProblems(first: Probing, needs: ProblemsNeeds, way: Way): Problems {
  const turns = new Serial();
  let closed = false;
  let current = tryProblems(first, needs, way);
  return {
    problems: () => current.problems(),
    reopen(next) {
      void turns.run('', async () => {
        if (closed) return;
        await current.close();
        current = tryProblems(await needs.open(next.mtu), needs, next);
      });
    },
    async close() {
      closed = true;
      await turns.run('', () => current.close());
    },
  };
}

/** Goes on from what the first try gave; as long as the port is taken it tries again, and says so after a while. */
function tryProblems(first: Probing, { open, ...needs }: ProblemsNeeds, { device, mtu }: Way): Paths {
  const stop = new AbortController();
  let paths: Paths | undefined;
  let problem: PathProblem | undefined;
  const opening = (async () => {
    const begun = needs.now();
    for (let probing = first; !stop.signal.aborted; probing = await open(mtu)) {
      if ('probes' in probing) {
        problem = undefined;
        paths = openPaths({ ...needs, probes: probing.probes }, { device });
        return;
      }
      if (problem === undefined && (!probing.again || needs.now() - begun > grace)) {
        problem = { kind: 'port', sentence: probing.refused, since: new Date(needs.now()).toISOString() };
        needs.log.warn('no tunnel for probes', { reason: probing.refused });
      }
      if (!probing.again) return;
      await pause(problem === undefined ? between : grace, stop.signal);
    }
  })();
  return {
    problems: () => [...(problem ? [problem] : []), ...(paths?.problems() ?? [])],
    async close() {
      stop.abort();
      await opening;
      await paths?.close();
    },
  };
}
