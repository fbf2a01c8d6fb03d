import type { Committed, Condition, Store, Waiting, Write } from '../store.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';
import { openLease } from './lease.ts';
import { encode, parseTxn } from './messages.ts';
import { readAll, watchKeys } from './watch.ts';

/** A store in etcd 3.4 or later. Opening asks nothing: it may be out of reach now and come later. */
export function openEtcd(options: GatewayOptions): Store {
  const gateway = new Gateway(options);
  const closed = new AbortController();
  return {
    async list(prefix: string, waiting: Waiting = {}) {
      const { items, revision } = await readAll(gateway, prefix, waiting);
      return { items, position: Number(revision) };
    },
    async commit(conditions: readonly Condition[], writes: readonly Write[], { signal }: Waiting = {}) {
      const answer = parseTxn(await gateway.call('/v3/kv/txn', txnOf(conditions, writes), { signal }));
      gateway.told(answer.revision);
      return answer.succeeded ? { done: true } : ({ done: false, items: answer.items } satisfies Committed);
    },
    watch: (prefix, { signal }) => watchKeys(gateway, prefix, { signal: AbortSignal.any([signal, closed.signal]) }),
    openSession: (ttl) => openLease(gateway, ttl, { signal: closed.signal }),
    status: () => gateway.status(),
    close() {
      closed.abort();
      return gateway.close();
    },
  };
}

function txnOf(conditions: readonly Condition[], writes: readonly Write[]): object {
  return {
    compare: conditions.map(({ key, revision }) =>
      revision === undefined
        ? { key: encode(key), target: 'VERSION', result: 'EQUAL', version: '0' }
        : { key: encode(key), target: 'MOD', result: 'EQUAL', mod_revision: revision },
    ),
    success: writes.map((write) => {
      if (write.kind === 'delete') return { request_delete_range: { key: encode(write.key) } };
      const { key, value, session } = write;
      return { request_put: { key: encode(key), value: encode(value), ...(session && { lease: session.id }) } };
    }),
    failure: conditions.map(({ key }) => ({ request_range: { key: encode(key) } })),
  };
}
