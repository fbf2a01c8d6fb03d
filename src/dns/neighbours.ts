import { networkInterfaces } from 'node:os';
import { contains, networkOf, type Prefix, parseAddress, parseInterfaceAddress } from '../lib/prefix.ts';
import { exposedPrefix, gatewayBridge } from '../model/interfaces.ts';

/** In milliseconds: so old may be what is known of the interfaces, for who is known by it. */
const lookEvery = 1000;
/** Who is not may be behind one that just came: for those they are looked at more often, for this share of the time at most. */
const share = 1 / 20;

export interface NeighboursOptions {
  readonly interfaces?: typeof networkInterfaces;
  /** Of addresses that are this host's whatever its interfaces are: those of one without a carrier are not listed. */
  readonly isOwn?: (address: string) => boolean;
  readonly now?: () => number;
}

interface Seen {
  readonly own: ReadonlySet<string>;
  /** Subnets of interfaces behind which only containers are. */
  readonly containers: readonly Prefix[];
  readonly others: readonly Prefix[];
}

/**
 * Who may ask at a place of the host without being known: the host itself, and whoever has an address in a subnet of one
 * of its interfaces, or on a link of one. Not containers on the gateway bridge and on networks that the host is exposed to:
 * they would see all networks that the host is on.
 */
export class Neighbours {
  readonly #interfaces: typeof networkInterfaces;
  readonly #isOwn: (address: string) => boolean;
  readonly #now: () => number;
  #seen: Seen = { own: new Set(), containers: [], others: [] };
  #looked = -Infinity;
  /** How long that took. */
  #took = 0;

  constructor({ interfaces, isOwn, now }: NeighboursOptions = {}) {
    this.#interfaces = interfaces ?? networkInterfaces;
    this.#isOwn = isOwn ?? (() => false);
    this.#now = now ?? (() => performance.now());
  }

  /** `source` as sockets give it. */
  has(source: string): boolean {
    const age = this.#now() - this.#looked;
    if (age < lookEvery) {
      if (this.#isSeen(source)) return true;
      if (age < this.#took / share) return false;
    }
    this.#look();
    return this.#isSeen(source);
  }

  #isSeen(source: string): boolean {
    const { own, containers, others } = this.#seen;
    if (own.has(source) || this.#isOwn(source)) return true;
    const [address = '', device] = source.split('%');
    if (device !== undefined) return !leadsToContainers(device);
    const alone = parseAddress(address);
    const within = (subnet: Prefix) => contains(subnet, alone);
    return others.some(within) && !containers.some(within);
  }

  #look(): void {
    const began = this.#now();
    const own = new Set<string>();
    const containers: Prefix[] = [];
    const others: Prefix[] = [];
    for (const [device, listed] of Object.entries(this.#interfaces())) {
      for (const { address, cidr, scopeid = 0 } of listed ?? []) {
        own.add(scopeid === 0 ? address : `${address}%${device}`);
        if (cidr === null || scopeid !== 0) continue;
        const subnets = leadsToContainers(device) ? containers : others;
        subnets.push(networkOf(parseInterfaceAddress(cidr)));
      }
    }
    this.#seen = { own, containers, others };
    this.#looked = this.#now();
    this.#took = this.#looked - began;
  }
}

/** Of addresses with a label of their own the name is that. */
function leadsToContainers(device: string): boolean {
  return device.startsWith(exposedPrefix) || device.split(':', 1)[0] === gatewayBridge;
}
