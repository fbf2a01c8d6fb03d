import { randomBytes } from 'node:crypto';
import { isIPv4 } from 'node:net';
import type { Endpoints } from '../../controllers/endpoints/endpoints.ts';
import type { Networks } from '../../controllers/networks/networks.ts';
import type { RecordState, Records } from '../../controllers/records/records.ts';
import { Refusal } from '../../lib/errors.ts';
import type { NameRecord } from '../../model/name-record.ts';
import type { NamesApiNeeds } from './names.ts';

const others = [
  { address: '192.0.2.53', silent: false },
  { address: '192.0.2.54', silent: true },
];

/** Names in memory: records made by hand, which are looked up by their whole names by who is on their network. */
export function memoryNames(
  self: string,
  networks: Pick<Networks, 'find'>,
  endpoints: Pick<Endpoints, 'sandbox'>,
): Pick<NamesApiNeeds, 'names' | 'records'> {
  const all = new Map<string, NameRecord>();
  const isSeen = ({ network }: NameRecord, sandbox: string | undefined) =>
    network === undefined || sandbox === undefined || endpoints.sandbox(sandbox)?.endpoints.has(network) === true;
  const records: Records = {
    add: async ({ name, addresses, ports, network }) => {
      const at = network === undefined ? {} : { network: networks.find(network).id };
      const before = [...all.values()].find((record) => record.name === name && record.network === at.network);
      const record: NameRecord = {
        ...{ id: before?.id ?? randomBytes(32).toString('hex'), name, host: self, epoch: 1, ...at },
        addresses: [...new Set([...(before?.addresses ?? []), ...addresses])],
        ...(ports && { ports: [...ports] }),
        created: new Date().toISOString(),
      };
      all.set(record.id, record);
      return record;
    },
    remove: async ({ name, addresses, network, everywhere = false }) => {
      const at = network === undefined ? undefined : networks.find(network).id;
      const found = [...all.values()].filter((record) => record.name === name && (everywhere || record.network === at));
      if (found.length === 0) throw new Refusal('not-found', `no record ${name} was added on this host`);
      for (const record of found) {
        const left = record.addresses.filter((address) => addresses.length > 0 && !addresses.includes(address));
        if (left.length === 0) all.delete(record.id);
        else all.set(record.id, { ...record, addresses: left });
      }
      return found;
    },
    list: () => Array.from(all.values(), (record): RecordState => ({ record, lost: false })),
  };
  return {
    records,
    names: {
      list: () =>
        Array.from(all.values(), ({ id, name, addresses, ports = [], host, network }) => ({
          ...{ id, names: [name], addresses, ports, host, itself: false, lost: false, byHand: true },
          ...(network !== undefined && { network: { id: network, name: networks.find(network).name } }),
        })),
      lookup: async ({ sandbox, name, type }) => {
        if (name.endsWith('.example')) return { status: 'SERVFAIL', own: false, records: [], asked: others };
        const found = [...all.values()].find((record) => record.name === name && isSeen(record, sandbox));
        const fitting = (found?.addresses ?? []).filter((address) => type === (isIPv4(address) ? 'A' : 'AAAA'));
        const status = found === undefined ? 'NXDOMAIN' : 'NOERROR';
        return { status, own: true, records: fitting.map((data) => ({ name, ttl: 1, type, data })) };
      },
      status: async () => ({
        ...{ domains: ['skein.local'], endpoints: all.size, questions: 12, forwarded: 3, failed: 1, refused: 0 },
        resolvers: others,
      }),
    },
  };
}
