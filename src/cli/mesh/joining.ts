import { type Client, openClient } from '../../adapters/api/client.ts';
import { backoff } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import { withProgress } from '../progress.ts';

/** In milliseconds. */
const longest = 10_000;

/**
 * Waits for the cluster that a host comes to: the daemon begins anew in it, and is away meanwhile; hosts that all wait agree
 * on one first.
 * @returns the id of the cluster, or undefined when the host goes on waiting for one
 * @throws Refusal when it was to be in this cluster by now
 */
export async function joining(
  socket: string,
  cluster: string | undefined,
  patience = longest,
): Promise<string | undefined> {
  const called = cluster === undefined ? 'a cluster' : `cluster ${cluster.slice(0, 12)}`;
  const found = await withProgress(
    `joining ${called}`,
    clusterOf(openClient(socket), cluster, AbortSignal.timeout(patience)),
  );
  if (found !== undefined || cluster === undefined) return found;
  throw new Refusal(
    'unavailable',
    `${called} is on disk, but the daemon did not begin anew in it within ${patience / 1000} s; see its log`,
  );
}

/** The cluster that the daemon is in, as soon as there is one, or as it is this one. */
async function clusterOf(client: Client, wanted: string | undefined, signal: AbortSignal): Promise<string | undefined> {
  for await (const _ of backoff({ first: 20, most: 250, signal })) {
    try {
      const status = await client.call('getStatus', {}, { signal });
      if (status.state === 'ready' && (wanted ?? status.cluster.id) === status.cluster.id) return status.cluster.id;
    } catch (error) {
      const away = error instanceof Refusal && error.kind === 'unavailable';
      if (!away && !signal.aborted) throw error;
    }
  }
  return undefined;
}
