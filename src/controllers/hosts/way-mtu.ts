import type { Hosts } from './hosts.ts';

/**
 * The MTU in this host's record: that of its data interface, or what the narrowest of the routes to other hosts says.
 */
export class WayMtu {
  readonly #hosts: Pick<Hosts, 'amend'>;
  readonly #routes = new Map<string, number>();
  #device: number;

  constructor(hosts: Pick<Hosts, 'amend'>, device: number) {
    this.#hosts = hosts;
    this.#device = device;
  }

  /** Of the interface that has the data address. */
  get device(): number {
    return this.#device;
  }

  setDevice(mtu: number): void {
    this.#device = mtu;
    this.#publish();
  }

  /** Of the route to a host; undefined when it says none, or the host is gone. */
  setRoute(host: string, mtu: number | undefined): void {
    if (mtu === this.#routes.get(host)) return;
    if (mtu === undefined) this.#routes.delete(host);
    else this.#routes.set(host, mtu);
    this.#publish();
  }

  #publish(): void {
    this.#hosts.amend({ mtu: Math.max(least, Math.min(this.#device, ...this.#routes.values())) });
  }
}

/** No record has less. */
const least = 576;
