import { type CallOptions, Gateway as Real } from '../../src/state/kv/etcd/gateway.ts';
import { countedLater } from './doom.ts';

// biome-ignore lint/performance/noBarrelFile: it stands for the whole of it
export * from '../../src/state/kv/etcd/gateway.ts';

/** What only looks, or comes with time and not with what is done. */
const uncounted = new Set(['/v3/kv/range', '/v3/lease/keepalive']);

/** Stands for `state/kv/etcd/gateway.ts` in a daemon that is to die. */
export class Gateway extends Real {
  override call(path: string, body: object, options?: CallOptions): Promise<unknown> {
    const call = () => super.call(path, body, options);
    return uncounted.has(path) || isSweep(body) ? call() : countedLater('store', `${path} ${keysIn(body)}`, call);
  }
}

/** A number or an address that has rested long enough is forgotten some time later, whatever is done then. */
function isSweep(body: object): boolean {
  return 'request_delete_range' in firstOf(body) && /\/(vnis|addresses)\//.test(keysIn(body));
}

function firstOf(body: object): object {
  const [first]: readonly unknown[] = 'success' in body && Array.isArray(body.success) ? body.success : [];
  return typeof first === 'object' && first !== null ? first : {};
}

function keysIn(body: object): string {
  const keys = [...JSON.stringify(body).matchAll(/"key":"([^"]*)"/g)].map(([, key = '']) => atob(key));
  return [...new Set(keys)].join(' ');
}
