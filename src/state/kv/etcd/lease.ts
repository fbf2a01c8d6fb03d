import { delay, pause } from '../../../lib/backoff.ts';
import { type Session, StoreError } from '../store.ts';
import { EtcdError, notFound } from './etcd-error.ts';
import type { Gateway } from './gateway.ts';
import { parseGrant, parseKeepAlive } from './messages.ts';

/**
 * A lease that is renewed at a third of its time. It counts as lost when etcd says so, or when the last renewal that was
 * answered had been sent longer ago than its time: then etcd may have dropped it, whether or not it can be asked. When
 * `signal` aborts it is renewed no more and ends by itself.
 * @throws StoreError
 */
export async function openLease(gateway: Gateway, ttl: number, { signal }: { signal: AbortSignal }): Promise<Session> {
  const seconds = Math.max(1, Math.ceil(ttl / 1000));
  const began = performance.now();
  const id = parseGrant(await gateway.call('/v3/lease/grant', { TTL: String(seconds) }));
  const lost = new AbortController();
  const closed = new AbortController();
  const over = AbortSignal.any([lost.signal, closed.signal, signal]);

  let expiry: NodeJS.Timeout | undefined;
  signal.addEventListener('abort', () => clearTimeout(expiry), { once: true });
  const renewed = (sent: number) => {
    clearTimeout(expiry);
    expiry = setTimeout(
      () => lose('it was not renewed in time'),
      Math.max(0, sent + seconds * 1000 - performance.now()),
    );
    expiry.unref();
  };
  const lose = (reason: string) => {
    if (closed.signal.aborted || signal.aborted) return;
    lost.abort(new StoreError(`the session ${id} was lost: ${reason}`, { retry: true }));
  };
  renewed(began);

  const renew = async () => {
    for (let failures = 0; !over.aborted; ) {
      const wait = failures === 0 ? (seconds * 1000) / 3 : delay(failures - 1, { first: 200, most: 2_000 });
      await pause(wait, over);
      if (over.aborted) return;
      const sent = performance.now();
      try {
        const there = parseKeepAlive(
          await gateway.call('/v3/lease/keepalive', { ID: id }, { signal: over, repeatable: true }),
        );
        if (!there) return lose('the store had dropped it');
        renewed(sent);
        failures = 0;
      } catch {
        // The expiry decides; the gateway's status tells.
        failures++;
      }
    }
  };
  const renewing = renew();

  let closing: Promise<void> | undefined;
  const close = async () => {
    closed.abort();
    clearTimeout(expiry);
    await renewing;
    try {
      await gateway.call('/v3/lease/revoke', { ID: id }, { repeatable: true });
    } catch (error) {
      if (!(error instanceof EtcdError && error.code === notFound)) throw error;
    }
  };
  return {
    id,
    lost: lost.signal,
    close() {
      closing ??= close();
      return closing;
    },
  };
}
