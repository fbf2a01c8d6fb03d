import type { Carrier } from '../../dataplane/dataplane.ts';
import type { Feed } from '../../lib/feed.ts';
import type { Log } from '../../lib/log.ts';
import type { Hosts, PathProblem, Paths } from './hosts.ts';
import type { WayMtu } from './way-mtu.ts';

export interface CarryingNeeds {
  /** What the kernel told last; undefined before it has told anything. */
  readonly told: Pick<Feed<{ readonly carrier: Carrier | undefined } | undefined>, 'watch'>;
  readonly hosts: Pick<Hosts, 'self'>;
  readonly mtu: Pick<WayMtu, 'device' | 'setDevice'>;
  /** Called when the interface or its MTU is another. */
  readonly changed: (carrier: Carrier) => void;
  readonly log: Log;
  readonly now: () => number;
}

/** Keeps this host's MTU as that of the interface with its data address, and says when none works that has it. */
export function followCarrier({ told, hosts, mtu, changed, log, now }: CarryingNeeds, init: { device: string }): Paths {
  const stop = new AbortController();
  let { device } = init;
  let problem: PathProblem | undefined;

  function note(carrier: Carrier | undefined): void {
    const { data } = hosts.self;
    if (carrier !== undefined && (carrier.device !== device || carrier.mtu !== mtu.device)) {
      log.warn('the data address is on another interface, or the MTU of its interface is another', {
        ...{ data, device: carrier.device, mtu: carrier.mtu, was: `${device}, ${mtu.device}` },
      });
      device = carrier.device;
      mtu.setDevice(carrier.mtu);
      changed(carrier);
    }
    tell(wrongWith(carrier, { data, device }));
  }

  function tell(sentence: string | undefined): void {
    if (sentence === problem?.sentence) return;
    problem = sentence === undefined ? undefined : { kind: 'carrier', sentence, since: new Date(now()).toISOString() };
    if (sentence === undefined) log.info('the interface with the data address works again', { device });
    else log.error('no packet leaves for other hosts', { advice: sentence });
  }

  const following = (async () => {
    for await (const last of told.watch({ signal: stop.signal })) if (last !== undefined) note(last.carrier);
  })();
  return {
    problems: () => (problem === undefined ? [] : [problem]),
    async close() {
      stop.abort();
      await following;
    },
  };
}

/** Pure. */
export function wrongWith(
  carrier: Carrier | undefined,
  { data, device }: { readonly data: string; readonly device: string },
): string | undefined {
  switch (carrier?.state) {
    case undefined:
      return `no interface has the data address ${data} any more, which was on ${device}: give it back (ip address add), or start the daemon with another --data-address`;
    case 'down':
      return `interface ${device}, which has the data address ${data}, is down: ip link set ${device} up`;
    case 'unplugged':
      return `interface ${device}, which has the data address ${data}, has no link: look at its cable and at what is at the other end`;
    case 'up':
      return undefined;
  }
}
