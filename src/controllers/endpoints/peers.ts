import { type Change, keyOf, type PeerPiece } from '../../dataplane/dataplane.ts';
import type { Log } from '../../lib/log.ts';
import type { HostState, Hosts } from '../hosts/hosts.ts';

/** Data addresses of the other hosts, lost ones too: a paused daemon's containers keep their traffic. */
export function peerPieces(states: readonly HostState[], self: string): readonly PeerPiece[] {
  const others = states.filter(({ host }) => host.id !== self).map(({ host }) => host.data);
  return [...new Set(others)].map((data) => ({ kind: 'peer', data }));
}

/** Keeps the guard's peers as the hosts are, and says whose address changed. Ends when `signal` aborts. */
export async function followPeers(
  needs: {
    readonly hosts: Pick<Hosts, 'self' | 'watch'>;
    readonly change: (change: Change) => Promise<void>;
    readonly log: Log;
  },
  options: {
    readonly from: readonly HostState[];
    readonly changed: (host: string) => void;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const addresses = (states: readonly HostState[]) => new Map(states.map(({ host }) => [host.id, host.data]));
  let known = addresses(options.from);
  let pieces = peerPieces(options.from, needs.hosts.self.id);
  for await (const states of needs.hosts.watch({ signal: options.signal })) {
    const now = addresses(states);
    const changed = [...new Set([...now.keys(), ...known.keys()])].filter((id) => now.get(id) !== known.get(id));
    if (changed.length === 0) continue;
    const wanted = peerPieces(states, needs.hosts.self.id);
    const have = new Set(pieces.map(({ data }) => data));
    const want = new Set(wanted.map(({ data }) => data));
    try {
      await needs.change({
        put: wanted.filter(({ data }) => !have.has(data)),
        remove: pieces.filter(({ data }) => !want.has(data)).map(keyOf),
      });
      known = now;
      pieces = wanted;
    } catch (error) {
      needs.log.error('the guard could not be told of the peers', { changed: changed.length, error });
    }
    for (const id of changed) options.changed(id);
  }
}
