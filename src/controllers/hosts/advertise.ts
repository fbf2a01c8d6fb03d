import { isIP } from 'node:net';
import * as v from 'valibot';
import type { HostView } from '../../dataplane/dataplane.ts';
import { Refusal } from '../../lib/errors.ts';
import {
  contains,
  type Family,
  formatAddress,
  formatPrefix,
  networkOf,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
  withoutLength,
} from '../../lib/prefix.ts';
import { DataAddress } from '../../model/host.ts';
import { isHostInterface } from '../../model/network.ts';

/** Where other hosts reach this one. */
export interface Underlay {
  /** `address:port`, IPv6 in brackets. */
  readonly advertise: string;
  readonly data: string;
  readonly family: Family;
  /** The interface that has the data address, and its MTU. */
  readonly device: string;
  readonly mtu: number;
  /** Networks that this host routes, without those of the overlay's own devices. */
  readonly routes: readonly string[];
}

/** Port that is advertised when none is given: that of Docker's remote API, as in `--cluster-advertise eth0:2376`. */
const defaultPort = 2376;

/**
 * Works out the underlay from what the kernel says and the user asked for: `eth0:2376`, `192.168.205.10:2376`, `[fd00::1]:2376`,
 * or nothing, which means the one address that is there beside loopback.
 * @throws Refusal 'invalid' naming what does not fit
 */
export function chooseUnderlay(
  view: HostView,
  wishes: {
    readonly advertise?: string | undefined;
    readonly data?: string | undefined;
    readonly family?: Family | undefined;
  },
): Underlay {
  const { host, port } = splitAdvertise(wishes.advertise);
  const advertised = addressOf(view, { host, family: wishes.family });
  const data = wishes.data ?? advertised;
  if (!v.safeParse(DataAddress, data).success) {
    throw new Refusal('invalid', `data address ${data} cannot be reached by other hosts; give another one`);
  }
  const device = view.interfaces.find(({ addresses }) => addresses.some((text) => withoutLength(text) === data));
  if (device === undefined) {
    throw new Refusal('invalid', `data address ${data} belongs to no interface of this host (${interfaces(view)})`);
  }
  const family = parseAddress(data).family;
  const own = view.routes.filter((route) => !isOwn(route.interface));
  const attached = view.interfaces
    .filter(({ name }) => name !== 'lo' && !isOwn(name))
    .flatMap(({ addresses }) => addresses)
    .map((text) => formatPrefix(networkOf(parseInterfaceAddress(text))));
  const routes = [...new Set([...own.map(({ prefix }) => prefix), ...attached])].filter((text) => isRelevant(text));
  return {
    advertise: `${family6(advertised)}:${port}`,
    data,
    family,
    device: device.name,
    mtu: device.mtu,
    routes: routes.slice(0, 256),
  };
}

function splitAdvertise(text: string | undefined): { host?: string; port: number } {
  if (text === undefined || text === '') return { port: defaultPort };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? (isIP(text) === 6 ? text : undefined);
  const port = Number(match?.[3] ?? defaultPort);
  if (host === undefined || port < 1 || port > 65535) {
    throw new Refusal(
      'invalid',
      `cannot advertise ${JSON.stringify(text)}: give an interface or an address with a port, such as eth0:2376 or 192.168.205.10:2376`,
    );
  }
  return { host, port };
}

function addressOf(
  view: HostView,
  { host, family }: { host?: string | undefined; family?: Family | undefined },
): string {
  const usable = (texts: readonly string[]) =>
    texts
      .map(withoutLength)
      .filter((text) => !isLocalOnly(text) && (family === undefined || parseAddress(text).family === family));
  if (host !== undefined && isIP(host) !== 0) {
    const address = formatAddress(parseAddress(host));
    const known = view.interfaces.some(({ addresses }) => addresses.some((text) => withoutLength(text) === address));
    if (known) return address;
    throw new Refusal(
      'invalid',
      `cannot advertise ${host}: it belongs to no interface of this host (${interfaces(view)})`,
    );
  }
  if (host !== undefined) {
    const device = view.interfaces.find(({ name }) => name === host);
    if (device === undefined)
      throw new Refusal('invalid', `cannot advertise ${host}: there is no such interface (${interfaces(view)})`);
    const [first] = usable(device.addresses);
    if (first === undefined)
      throw new Refusal(
        'invalid',
        `cannot advertise ${host}: the interface has no ${family === undefined ? '' : `IPv${family} `}address`,
      );
    return first;
  }
  const candidates = view.interfaces
    .filter(({ name, up }) => up && name !== 'lo' && !isOwn(name) && !isForeignBridge(name))
    .flatMap(({ addresses }) => usable(addresses));
  const [only] = candidates;
  if (only === undefined)
    throw new Refusal('invalid', 'this host has no address that others could reach; give one with --cluster-advertise');
  if (
    candidates.length > 1 &&
    family === undefined &&
    new Set(candidates.map((text) => parseAddress(text).family)).size === candidates.length
  )
    return only;
  if (candidates.length > 1) {
    throw new Refusal(
      'invalid',
      `this host has several addresses (${candidates.join(', ')}); say which one with --cluster-advertise ADDRESS or INTERFACE`,
    );
  }
  return only;
}

/** Devices that we make in the host's namespace. */
function isOwn(name: string): boolean {
  return name === 'skein_gwbridge' || /^veth[0-9a-f]{7}$/.test(name) || isHostInterface(name);
}

function isForeignBridge(name: string): boolean {
  return /^(docker0|docker_gwbridge|br-[0-9a-f]{12}|virbr\d+|podman\d+|cni\d+|weave)$/.test(name);
}

const localOnly = ['127.0.0.0/8', '169.254.0.0/16', '::1/128', 'fe80::/10'].map(parsePrefix);

function isLocalOnly(text: string): boolean {
  const address = parseAddress(text);
  return localOnly.some((prefix) => contains(prefix, address));
}

/** Routes that a subnet of ours could collide with: no defaults, nothing link-local or multicast. */
function isRelevant(text: string): boolean {
  const prefix = parsePrefix(text);
  return (
    prefix.length > 0 &&
    !['fe80::/10', 'ff00::/8', '169.254.0.0/16', '224.0.0.0/4'].some((other) =>
      contains(parsePrefix(other), prefix.address),
    )
  );
}

function family6(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

function interfaces(view: HostView): string {
  const list = view.interfaces
    .filter(({ name }) => name !== 'lo')
    .map(({ name, addresses }) => `${name}: ${addresses.map(withoutLength).join(' ') || 'no address'}`);
  return list.slice(0, 8).join('; ') || 'it has none beside loopback';
}
