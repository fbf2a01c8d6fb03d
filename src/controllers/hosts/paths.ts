import type { Findings, ProbePeer, Probes } from '../../dataplane/probe/probe.ts';
import { pause } from '../../lib/backoff.ts';
import type { Log } from '../../lib/log.ts';
import { Serial } from '../../lib/serial.ts';
import type { Host } from '../../model/host.ts';
import type { Hosts, PathProblem, Paths } from './hosts.ts';
import type { WayMtu } from './way-mtu.ts';

export interface PathsNeeds {
  readonly hosts: Pick<Hosts, 'self' | 'cluster' | 'watch'>;
  readonly probes: Probes;
  readonly mtu: Pick<WayMtu, 'setRoute'>;
  readonly log: Log;
  readonly now: () => number;
}

/** Milliseconds from one probe of a host to the next: of one that is well, and of one that is not. */
const rest = { well: 60_000, ill: 5_000 } as const;
/** Hosts that are probed at a time, and probes a second of those that are well. */
const most = { atOnce: 8, aSecond: 2 } as const;
/** A daemon that was killed does not answer and is not lost yet: who answered before is given this time. */
const absence = 20_000;

/** Probes the way to every host that is alive and answers probes, soon after it is seen and again and again. */
export function openPaths(
  { hosts, probes, mtu, log, now }: PathsNeeds,
  { device }: { readonly device: string },
): Paths {
  const stop = new AbortController();
  const problems = new Map<string, PathProblem>();
  const followed = new Map<string, { readonly peer: ProbePeer; readonly end: AbortController }>();
  const turns = new Serial();
  let turn = 0;

  async function follow({ name, id, data }: Host, signal: AbortSignal): Promise<void> {
    let answered = 0;
    while (!signal.aborted) {
      turn += 1;
      const found = await turns.run(String(turn % most.atOnce), async () => {
        return signal.aborted ? undefined : await tryProbe(id, signal);
      });
      if (signal.aborted) return;
      if (found === undefined) {
        await pause(rest.ill, signal);
        continue;
      }
      if (found.answers) answered = now();
      mtu.setRoute(id, found.route);
      const verdict = judge(found, { self: hosts.self, name, data, port: hosts.cluster.dataPort, device });
      if (found.answers || now() - answered > absence) note(id, name, verdict);
      const well = Math.max(rest.well, (followed.size * 1000) / most.aSecond);
      await pause(verdict === undefined ? well * (0.75 + Math.random() / 2) : rest.ill, signal);
    }
  }

  async function tryProbe(id: string, signal: AbortSignal): Promise<Findings | undefined> {
    try {
      return await probes.probe(id);
    } catch (error) {
      if (!signal.aborted) log.error('a host cannot be probed', { host: id, error });
      return undefined;
    }
  }

  function note(id: string, name: string, verdict: Verdict | undefined): void {
    const before = problems.get(id);
    if (before?.sentence === verdict?.sentence) return;
    if (verdict === undefined) {
      problems.delete(id);
      log.info('the way to a host is right again', { host: id, name });
    } else {
      problems.set(id, { ...verdict, id, host: name, since: new Date(now()).toISOString() });
      log.warn('the way to a host is not right', { host: id, name, problem: verdict.kind, advice: verdict.sentence });
    }
  }

  async function watch(): Promise<void> {
    for await (const states of hosts.watch({ signal: stop.signal })) {
      const wanted = states.filter(({ host, state }) => state === 'alive' && host.id !== hosts.self.id && host.probed);
      const peers = wanted.map(({ host }) => ({ host: host.id, data: host.data, mtu: host.mtu }));
      const isSame = ({ host, data, mtu }: ProbePeer) => {
        const known = followed.get(host)?.peer;
        return known?.data === data && known.mtu === mtu;
      };
      const there = new Set(peers.map(({ host }) => host));
      const gone = [...followed.keys()].filter((id) => !there.has(id));
      const fresh = peers.filter((peer) => !isSame(peer));
      if (gone.length === 0 && fresh.length === 0) continue;
      try {
        await probes.set(peers);
      } catch (error) {
        log.error('hosts cannot be probed', { error });
        continue;
      }
      for (const id of [...gone, ...fresh.map(({ host }) => host)]) {
        followed.get(id)?.end.abort();
        followed.delete(id);
        if (gone.includes(id)) problems.delete(id);
        if (!states.some(({ host }) => host.id === id)) mtu.setRoute(id, undefined);
      }
      for (const peer of fresh) {
        const host = wanted.find((each) => each.host.id === peer.host)?.host;
        if (host === undefined) continue;
        const end = new AbortController();
        followed.set(peer.host, { peer, end });
        follow(host, end.signal).catch((error: unknown) =>
          log.error('a host is probed no more', { host: host.id, error }),
        );
      }
    }
  }

  const watching = watch();
  return {
    problems: () => [...problems.values()].sort((a, b) => ((a.host ?? '') < (b.host ?? '') ? -1 : 1)),
    async close() {
      stop.abort();
      for (const { end } of followed.values()) end.abort();
      await watching;
      await probes.close();
    },
  };
}

type Verdict = Pick<PathProblem, 'kind' | 'sentence'>;

/** What findings mean. Pure. */
export function judge(
  { answers, wanted, passed, stream, source }: Findings,
  way: {
    readonly self: Pick<Host, 'name' | 'data'>;
    readonly name: string;
    readonly data: string;
    readonly port: number;
    readonly device: string;
  },
): Verdict | undefined {
  const { self, name, data, port, device } = way;
  const between = `between ${self.name} (${self.data}) and ${name} (${data})`;
  if (source !== undefined) {
    return {
      kind: 'nat',
      sentence: `packets of ${name} come from ${source}, and it advertises ${data}: something on the way to ${self.name} (${self.data}) translates addresses (NAT), and no network works across that; leave UDP port ${port} out of it there, or start ${name} with a --data-address that it really sends from`,
    };
  }
  if (!answers) {
    return {
      kind: 'silent',
      sentence: `no packet of the tunnel comes back ${between}: let UDP port ${port} pass both ways in every firewall on the way, and let nothing there change the source address (NAT); where a host has several addresses, check that its --data-address is the one it sends from`,
    };
  }
  if (passed < wanted) {
    const smaller = passed === 0 ? 'and none of the sizes tried below did' : `those of ${passed} do`;
    return {
      kind: 'mtu',
      sentence: `packets of ${wanted} bytes do not pass ${between}, ${smaller}: make the MTU on the way ${wanted}, or that of both hosts' data interfaces ${passed || 'smaller'} (on ${self.name}: ip link set ${device} mtu ${passed || 1280})`,
    };
  }
  if (!stream) {
    return {
      kind: 'checksum',
      sentence: `ping passes and TCP does not ${between}: most likely a network card spoils the checksums of packets in tunnels; on both hosts try: ethtool -K ${device} tx-checksum-ip-generic off tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off`,
    };
  }
  return undefined;
}
