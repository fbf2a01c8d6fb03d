import { delay, pause } from '../../../lib/backoff.ts';
import type { Item, WatchEvent } from '../store.ts';
import { compacted, EtcdError } from './etcd-error.ts';
import type { Gateway } from './gateway.ts';
import { encode, parseRange, parseWatch, rangeOf } from './messages.ts';

/**
 * One watch: a reading at revision R, then etcd's stream from R + 1. After a cut it goes on where it was; when etcd has
 * compacted that away, or is not where it was (restored from a backup), it begins again with a reading.
 */
export async function* watchKeys(
  gateway: Gateway,
  prefix: string,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<WatchEvent> {
  /** Where the stream goes on; undefined: history was lost. */
  let next: bigint | undefined;
  /** Of the newest change that was handed on: a message cut off between fragments comes again. */
  let handed = 0n;
  for (let failures = 0; !signal.aborted; ) {
    try {
      if (next === undefined) {
        const { items, revision } = await readAll(gateway, prefix, { signal });
        failures = 0;
        yield { kind: 'snapshot', items };
        next = revision + 1n;
        handed = revision;
      }
      const create = {
        create_request: { ...rangeOf(prefix), start_revision: String(next), progress_notify: true, fragment: true },
      };
      for await (const json of gateway.stream('/v3/watch', create, { signal })) {
        const message = parseWatch(json);
        if (message.kind === 'canceled') {
          gateway.renewLogin();
          break;
        }
        if (message.kind === 'compacted' || (message.kind === 'created' && message.revision < next - 1n)) {
          next = undefined;
          break;
        }
        failures = 0;
        if (message.kind === 'created') continue;
        for (const { deleted, item, revision } of message.events) {
          if (revision < handed) continue;
          handed = revision;
          gateway.told(revision);
          if (signal.aborted) return;
          yield deleted ? { kind: 'delete', key: item.key } : { kind: 'put', item };
        }
        if (!message.fragment) next = (message.events.at(-1)?.revision ?? message.revision) + 1n;
      }
    } catch (error) {
      // The gateway's status tells what is wrong with the store; here it is only waited out.
      if (error instanceof EtcdError && error.code === compacted) next = undefined;
      else if (error instanceof EtcdError) gateway.renewLogin();
    }
    const woken = AbortSignal.any([signal, gateway.back]);
    if (!signal.aborted) await pause(delay(failures++, { first: 50, most: 2_000 }), woken);
  }
}

const page = 1_000;

/** A reading of a prefix at one revision, in pages. @throws StoreError */
export async function readAll(
  gateway: Gateway,
  prefix: string,
  options: { signal?: AbortSignal | undefined },
): Promise<{ readonly items: readonly Item[]; readonly revision: bigint }> {
  const range = rangeOf(prefix);
  const read = async (request: object) =>
    parseRange(
      await gateway.call(
        '/v3/kv/range',
        { ...range, limit: String(page), ...request },
        { ...options, repeatable: true },
      ),
    );
  const { items, revision, more: first } = await read({});
  gateway.told(revision);
  const all = [...items];
  for (let more = first; more; ) {
    const after = encode(`${all.at(-1)?.key ?? prefix}\0`);
    const part = await read({ key: after, revision: String(revision) });
    all.push(...part.items);
    more = part.more && part.items.length > 0;
  }
  return { items: all, revision };
}
