import { ParseError, Refusal } from '../../lib/errors.ts';
import type { Keys } from '../../model/keys.ts';
import { type Network, parseNetwork } from '../../model/network.ts';
import type { Catalog, CatalogEvent } from '../catalog.ts';
import { persist } from './persist.ts';
import { formatRecord, lastOfKey, readItem } from './records.ts';
import type { Skipped } from './skipped.ts';
import type { Item, Store } from './store.ts';

export interface OpenCatalog {
  readonly store: Store;
  readonly keys: Keys;
  readonly skipped: Skipped;
}

/** Records at `networks/<id>`, changed by compare-and-set. */
export function openCatalog({ store, keys, skipped }: OpenCatalog): Catalog {
  const read = (item: Item) => readItem(item, parsePlaced, skipped);
  const readOne = async (id: string, signal: AbortSignal) => {
    const [item] = (await store.list(keys.network(id), { signal })).items;
    const network = item && read(item);
    if (item && !network) {
      throw new Refusal('conflict', `the record of network ${id} at ${item.key} cannot be read; see skein status`);
    }
    return { revision: item?.revision, network };
  };
  return {
    async add(network) {
      const key = keys.network(network.id);
      const value = formatRecord(network, `network ${network.name}`);
      let attempts = 0;
      await persist(store, `add network ${network.name}`, async (signal) => {
        attempts++;
        const added = await store.commit([{ key, revision: undefined }], [{ kind: 'put', key, value }], { signal });
        // An attempt that was cut off may have gone through.
        if (added.done || (attempts > 1 && added.items[0]?.value === value)) return;
        throw new Refusal('conflict', `network ${network.name}: the id ${network.id} is there already`);
      });
    },
    update: (id, update) =>
      persist(store, `update network ${id}`, async (signal) => {
        const key = keys.network(id);
        for (;;) {
          const { network, revision } = await readOne(id, signal);
          if (!network) return undefined;
          const next = update(network);
          const value = next && formatRecord(next, `network ${next.name}`);
          const write =
            value === undefined ? ({ kind: 'delete', key } as const) : ({ kind: 'put', key, value } as const);
          if ((await store.commit([{ key, revision }], [write], { signal })).done) return next;
        }
      }),
    get: (id) => persist(store, `read network ${id}`, async (signal) => (await readOne(id, signal)).network),
    async list() {
      const listing = persist(store, 'list networks', (signal) => store.list(keys.networks, { signal }));
      return (await listing).items.flatMap((item) => read(item) ?? []);
    },
    async *watch({ signal }): AsyncGenerator<CatalogEvent> {
      for await (const event of store.watch(keys.networks, { signal })) {
        if (event.kind === 'snapshot') {
          skipped.clearBelow(keys.networks);
          yield { kind: 'snapshot', networks: event.items.flatMap((item) => read(item) ?? []) };
        } else if (event.kind === 'delete') {
          skipped.clear(event.key);
          yield { kind: 'delete', id: lastOfKey(event.key) };
        } else {
          const network = read(event.item);
          yield network ? { kind: 'put', network } : { kind: 'delete', id: lastOfKey(event.item.key) };
        }
      }
    },
  };
}

/** A record must stand where its own id says. @throws ParseError */
function parsePlaced(json: unknown, key: string): Network {
  const network = parseNetwork(json, key);
  if (network.id !== lastOfKey(key)) throw new ParseError(`${key}: holds the network ${network.id}`);
  return network;
}
