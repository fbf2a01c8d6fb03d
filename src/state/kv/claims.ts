import * as v from 'valibot';
import { messageOf, Refusal } from '../../lib/errors.ts';
import type { Keys } from '../../model/keys.ts';
import { parseRecord } from '../../model/record.ts';
import { HexId, HostId, Name } from '../../model/text.ts';
import { Claimed, type Claims, type Holder, type Space } from '../claims.ts';
import type { Alive } from './alive.ts';
import { persist } from './persist.ts';
import { formatRecord, lastOfKey, readItem } from './records.ts';
import type { Skipped } from './skipped.ts';
import type { Store } from './store.ts';

export interface OpenClaims {
  readonly store: Store;
  readonly keys: Keys;
  readonly alive: Alive;
  readonly skipped: Skipped;
}

const HolderRecord = v.looseObject({ id: HexId, host: v.optional(HostId) });

/** @throws ParseError */
export function parseHolder(json: unknown, place: string): Holder {
  const { id, host } = parseRecord(HolderRecord, json, place);
  return { id, ...(host !== undefined && { host }) };
}

/**
 * Holders at `names/networks/<name>`, `names/endpoints/<network>/<name>` and `names/shared/<network>/<host>/<name>`;
 * upper and lower case differ, as in Docker.
 */
export function openClaims({ store, keys, alive, skipped }: OpenClaims): Claims {
  const prefixOf = (space: Space) => {
    if (space.kind === 'networks') return keys.networkNames;
    const { network, host } = space;
    return host === undefined ? keys.endpointNames(network) : keys.sharedNames(network, host);
  };
  const keyOf = (space: Space, name: string): string => {
    const prefix = prefixOf(space);
    try {
      return prefix + parseRecord(Name, name, JSON.stringify(name.slice(0, 128)));
    } catch (cause) {
      throw new Refusal('invalid', messageOf(cause), { cause });
    }
  };
  const read = async (key: string, signal: AbortSignal) => {
    const [item] = (await store.list(key, { signal })).items;
    const holder = item && readItem(item, parseHolder, skipped);
    if (item && !holder) throw new Refusal('conflict', `the record at ${key} cannot be read; see skein status`);
    return { holder, revision: item?.revision };
  };
  return {
    async claim(space, name, holder) {
      const key = keyOf(space, name);
      const value = formatRecord(holder, `the name ${name}`);
      const put = { kind: 'put', key, value } as const;
      await persist(store, `claim the name ${name}`, async (signal) => {
        // Free, most of the time.
        if ((await store.commit([{ key, revision: undefined }], [put], { signal })).done) return;
        for (;;) {
          const { holder: by, revision } = await read(key, signal);
          if (by?.id === holder.id && by.host === holder.host) return;
          const conditions = [{ key, revision }];
          if (by && by.id !== holder.id) {
            if (by.host === undefined || !alive.isLost(by.host)) throw new Claimed(name, by);
            conditions.push({ key: keys.aliveHost(by.host), revision: undefined });
          }
          const taken = await store.commit(conditions, [put], { signal });
          if (taken.done) return;
          // The holder came back: its sign of life is there before the watch has told.
          if (by && taken.items.some((item) => item.key !== key)) throw new Claimed(name, by);
        }
      });
    },
    async release(space, name, holder) {
      const key = keyOf(space, name);
      await persist(store, `release the name ${name}`, async (signal) => {
        for (;;) {
          const { holder: by, revision } = await read(key, signal);
          if (by?.id !== holder.id) return;
          if ((await store.commit([{ key, revision }], [{ kind: 'delete', key }], { signal })).done) return;
        }
      });
    },
    async *watch(space, options) {
      for await (const event of store.watch(prefixOf(space), options)) {
        if (event.kind === 'delete') yield { kind: 'delete', name: lastOfKey(event.key) };
        else if (event.kind === 'put') {
          const holder = readItem(event.item, parseHolder, skipped);
          if (holder) yield { kind: 'put', name: lastOfKey(event.item.key), holder };
        } else {
          const read = event.items.map((item) => [lastOfKey(item.key), readItem(item, parseHolder, skipped)] as const);
          yield { kind: 'snapshot', holders: new Map(read.flatMap(([name, by]) => (by ? [[name, by]] : []))) };
        }
      }
    },
    async holder(space, name) {
      const key = keyOf(space, name);
      return (await persist(store, `read the name ${name}`, (signal) => read(key, signal))).holder;
    },
  };
}
