import { messageOf, ParseError, Refusal } from '../../lib/errors.ts';
import { type Family, parseAddress } from '../../lib/prefix.ts';
import { parseEndpoint } from '../../model/endpoint.ts';
import { parseHost } from '../../model/host.ts';
import { parseNameRecord } from '../../model/name-record.ts';
import type { Skipped } from '../kv/skipped.ts';
import type { Entry, Owned, Registry, RegistryEvent, Scope } from '../registry.ts';
import { Changes } from './changes.ts';
import type { Json, Members, Scope as SheetScope, Sheets } from './sheets.ts';

export interface OpenRegistry {
  readonly sheets: Sheets;
  readonly members: Members;
  readonly skipped: Skipped;
  /** The address family underneath: a host of the other one cannot be reached. */
  readonly underlay: Family;
}

export interface MeshRegistry extends Registry {
  close(): void;
}

/** Each host's records stand in its own sheets: nobody can publish what is another's. */
export function openRegistry({ sheets, members, skipped, underlay }: OpenRegistry): MeshRegistry {
  const changes = new Changes();
  const stopSheets = sheets.watch(({ owner, scope, keys }) => {
    for (const key of keys) changes.tell(`${scope} ${owner} ${key}`);
  });
  const isLost = (id: string) => ['lost', 'left'].includes(members.state(id) ?? '');
  const lost = new Set(members.list().flatMap(({ id }) => (isLost(id) ? [id] : [])));
  const stopMembers = members.watch((changed) => {
    const ids = changed === undefined ? [...lost, ...members.list().map(({ id }) => id)] : [changed];
    for (const id of ids) {
      if (isLost(id) === lost.has(id)) continue;
      if (!lost.delete(id)) lost.add(id);
      changes.tell(`host ${id}`);
    }
  });

  const entryOf = (owner: string, scope: Scope, key: string, json: Json): Entry[] => {
    const place = `${sheetOf(scope)}/${owner}/${key}`;
    try {
      const record = parseOwned(scope, json, { place, underlay });
      if (hostOf(record) !== owner || prefixOf(scope) + idOf(record) !== key) {
        throw new ParseError(`${place}: holds ${record.kind} ${idOf(record)} of host ${hostOf(record)}`);
      }
      skipped.clear(place);
      return [{ record, lost: lost.has(owner) }];
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      skipped.add(place, messageOf(error));
      return [];
    }
  };
  const entriesOf = (owner: string, scope: Scope): readonly Entry[] =>
    [...(sheets.read(owner, sheetOf(scope))?.entries ?? [])].flatMap(([key, json]) =>
      key.startsWith(prefixOf(scope)) ? entryOf(owner, scope, key, json) : [],
    );
  const list = (scope: Scope) => sheets.list(sheetOf(scope)).flatMap(({ owner }) => entriesOf(owner, scope));

  return {
    async publish(record) {
      const host = hostOf(record);
      if (host !== sheets.self) {
        throw new Refusal(
          'forbidden',
          `cannot publish ${record.kind} ${idOf(record)}: it is host ${host.slice(0, 12)}'s own to say`,
        );
      }
      const scope = scopeOf(record);
      const json: Json = JSON.parse(JSON.stringify(bare(record)));
      await sheets.change(sheetOf(scope), (draft) => draft.put(prefixOf(scope) + idOf(record), json));
    },
    async withdraw(scope, id) {
      const key = prefixOf(scope) + id;
      if (sheets.read(sheets.self, sheetOf(scope))?.entries.has(key) !== true) return;
      await sheets.change(sheetOf(scope), (draft) => draft.delete(key));
    },
    list: async (scope) => list(scope),
    async *watch(scope, { signal }): AsyncGenerator<RegistryEvent> {
      const prefix = prefixOf(scope);
      let begun = false;
      for await (const keys of changes.watch({ signal })) {
        if (!begun) yield { kind: 'snapshot', entries: list(scope) };
        begun = true;
        for (const changed of keys) {
          const [where, owner = '', key] = changed.split(' ');
          if (key === undefined) {
            for (const entry of entriesOf(owner, scope)) yield { kind: 'put', entry };
          } else if (where === sheetOf(scope) && key.startsWith(prefix)) {
            const json = sheets.read(owner, sheetOf(scope))?.entries.get(key);
            const [entry] = json === undefined ? [] : entryOf(owner, scope, key, json);
            yield entry ? { kind: 'put', entry } : { kind: 'delete', id: key.slice(prefix.length) };
          }
        }
      }
    },
    close() {
      stopSheets();
      stopMembers();
    },
  };
}

function sheetOf(scope: Scope): SheetScope {
  return scope.kind === 'endpoints' ? `network:${scope.network}` : 'host';
}

function prefixOf({ kind }: Scope): string {
  return kind === 'endpoints' ? 'endpoint/' : kind === 'hosts' ? 'host/' : 'record/';
}

function scopeOf(record: Owned): Scope {
  if (record.kind === 'endpoint') return { kind: 'endpoints', network: record.endpoint.network };
  return { kind: record.kind === 'host' ? 'hosts' : 'records' };
}

function bare(record: Owned) {
  return record.kind === 'host' ? record.host : record.kind === 'endpoint' ? record.endpoint : record.record;
}

function idOf(record: Owned): string {
  return bare(record).id;
}

function hostOf(record: Owned): string {
  return record.kind === 'host'
    ? record.host.id
    : record.kind === 'endpoint'
      ? record.endpoint.host
      : record.record.host;
}

/** @throws ParseError */
function parseOwned(scope: Scope, json: Json, { place, underlay }: { place: string; underlay: Family }): Owned {
  if (scope.kind === 'records') return { kind: 'name', record: parseNameRecord(json, place) };
  if (scope.kind === 'hosts') {
    const host = parseHost(json, place);
    if (parseAddress(host.data).family === underlay) return { kind: 'host', host };
    throw new ParseError(`${place}: data is ${host.data}, and the hosts of this cluster talk IPv${underlay}`);
  }
  const endpoint = parseEndpoint(json, place);
  if (endpoint.network === scope.network) return { kind: 'endpoint', endpoint };
  throw new ParseError(`${place}: is of network ${endpoint.network}`);
}
