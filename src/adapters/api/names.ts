import type { Containers } from '../../controllers/containers/containers.ts';
import type { Hosts } from '../../controllers/hosts/hosts.ts';
import type { KnownName, Names } from '../../controllers/names/names.ts';
import type { Networks } from '../../controllers/networks/networks.ts';
import type { Records } from '../../controllers/records/records.ts';
import { defined } from '../../lib/defined.ts';
import { ParseError, Refusal } from '../../lib/errors.ts';
import type { Container } from '../../model/container.ts';
import type { NameRecord } from '../../model/name-record.ts';
import { nameServerAddresses } from '../../model/name-server.ts';
import type { JsonHandlers } from './handlers.ts';
import type { DnsView, NameView, RecordView } from './schema.ts';
import { refuseGateway } from './view.ts';

export interface NamesApiNeeds {
  readonly hosts: Pick<Hosts, 'self' | 'list'>;
  readonly containers: Pick<Containers, 'find'>;
  readonly networks: Pick<Networks, 'list'>;
  readonly names: Pick<Names, 'lookup' | 'list' | 'status'>;
  readonly records: Records;
}

type NameHandlers = Pick<JsonHandlers, 'getDns' | 'listNames' | 'lookUpName' | 'addRecord' | 'removeRecord'>;

/** What is answered by name, and records made by hand. */
export function openNameHandlers({ hosts, networks, containers, names, records }: NamesApiNeeds): NameHandlers {
  function listNames(): NameView[] {
    const known = new Map(hosts.list().map(({ host }) => [host.id, host.name]));
    return names.list().map((name) => viewName(name, known.get(name.host)));
  }

  function nameOf(network: string): string | undefined {
    return networks.list().find(({ id }) => id === network)?.name;
  }

  function sandboxOf(nameOrId: string): string {
    const { name, sandbox, state } = findContainer(nameOrId);
    if (state.status === 'running') return sandbox;
    throw new Refusal('conflict', `container ${name} does not run: it asks for nothing`);
  }

  function findContainer(nameOrId: string): Container {
    try {
      return containers.find(nameOrId);
    } catch (error) {
      const place = listNames().find(({ container, host }) => {
        const isIt = container?.name === nameOrId || container?.id.startsWith(nameOrId) === true;
        return isIt && host.id !== hosts.self.id;
      });
      if (place === undefined) throw error;
      const host = place.host.name ?? place.host.id.slice(0, 12);
      throw new Refusal('conflict', `container ${nameOrId} is on host ${host}: look up there what it is answered`);
    }
  }

  /** Who else is found by it. */
  function rivalry({ name, network }: NameRecord): string | undefined {
    const rivals = names.list().filter((known) => {
      const there = network === undefined ? known.network !== undefined : known.network?.id === network;
      return there && !known.byHand && known.names.some((one) => one.toLowerCase() === name);
    });
    if (rivals.length === 0) return undefined;
    const places = [...new Set(rivals.map((rival) => rival.network?.name ?? ''))].join(', ');
    return network === undefined
      ? `who is on ${places} is answered what has the name ${name} there, not this`
      : `the name ${name} is a container's on ${places}, too: both are answered there`;
  }

  function viewRecord({ id, name, addresses, ports = [], network }: NameRecord): RecordView {
    const at = network === undefined ? {} : { network: { id: network, ...defined({ name: nameOf(network) }) } };
    return { id, name, addresses, ports, ...at };
  }

  return {
    getDns: () => viewDns(names),
    listNames,
    lookUpName: async ({ params, query: { type, container } }) => {
      const sandbox = container === undefined ? {} : { sandbox: sandboxOf(container) };
      try {
        const { status, own, records: found, asked } = await names.lookup({ name: params.name, type, ...sandbox });
        const others = asked?.map((server) => ({ ...server }));
        return { status, own, records: found.map((record) => ({ ...record })), ...defined({ asked: others }) };
      } catch (error) {
        if (!(error instanceof ParseError)) throw error;
        throw new Refusal('invalid', error.message, { cause: error });
      }
    },
    addRecord: async ({ body }) => {
      refuseGateway(body.network);
      const record = await records.add(body);
      return { ...viewRecord(record), ...defined({ warning: rivalry(record) }) };
    },
    removeRecord: async ({ params: { name }, query: { network, addresses, everywhere } }) => {
      refuseGateway(network);
      if (network !== undefined && everywhere) throw new Refusal('invalid', 'give a network or everywhere, not both');
      const gone = await records.remove({ name, addresses, everywhere, ...defined({ network }) });
      return gone.map(viewRecord);
    },
  };
}

export async function viewDns(names: Pick<Names, 'status'>): Promise<DnsView> {
  const { domains, resolvers, ...status } = await names.status();
  const servers = Object.values(nameServerAddresses);
  return { ...status, servers, domains: [...domains], resolvers: resolvers.map((resolver) => ({ ...resolver })) };
}

function viewName(
  { names, network, addresses, ports, container, ...rest }: KnownName,
  host: string | undefined,
): NameView {
  return {
    ...{ id: rest.id, names: [...names], addresses: [...addresses], ports: ports.map((port) => ({ ...port })) },
    ...(network && { network: { ...network } }),
    ...(container && { container: { ...container } }),
    host: { id: rest.host, ...(host !== undefined && { name: host }) },
    ...{ lost: rest.lost, byHand: rest.byHand, itself: rest.itself },
  };
}
