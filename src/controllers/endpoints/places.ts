import { randomBytes } from 'node:crypto';
import type { Place, SandboxRecord } from './sandbox-record.ts';

/** Which names are in use: ports in each network's namespace, ids of sandboxes, adopted namespaces. */
export class Places {
  readonly #ports = new Map<string, Set<string>>();
  readonly #starts = new Set<string>();
  readonly #adopted = new Map<string, string>();

  /** An id of which also the first 7 digits are used only once: the port on the gateway bridge is named by them. */
  freshId(): string {
    for (;;) {
      const id = randomBytes(6).toString('hex');
      if (!this.#starts.has(id.slice(0, 7))) return id;
    }
  }

  addSandbox({ id, adopted }: Pick<SandboxRecord, 'id' | 'adopted'>): void {
    this.#starts.add(id.slice(0, 7));
    if (adopted !== undefined) this.#adopted.set(adopted.inode, id);
  }

  removeSandbox({ id, adopted }: Pick<SandboxRecord, 'id' | 'adopted'>): void {
    this.#starts.delete(id.slice(0, 7));
    if (adopted !== undefined && this.#adopted.get(adopted.inode) === id) this.#adopted.delete(adopted.inode);
  }

  /** The sandbox that a namespace was adopted as. */
  adoptedAs(inode: string): string | undefined {
    return this.#adopted.get(inode);
  }

  /** `vethN` with the lowest N that no place on the network has; it is used from now on. */
  takePort(network: string): string {
    const used = this.#ports.get(network) ?? new Set();
    this.#ports.set(network, used);
    let n = 0;
    while (used.has(`veth${n}`)) n += 1;
    used.add(`veth${n}`);
    return `veth${n}`;
  }

  addPort({ network, port }: Pick<Place, 'network' | 'port'>): void {
    const used = this.#ports.get(network) ?? new Set();
    this.#ports.set(network, used.add(port));
  }

  removePort({ network, port }: Pick<Place, 'network' | 'port'>): void {
    const used = this.#ports.get(network);
    used?.delete(port);
    if (used?.size === 0) this.#ports.delete(network);
  }

  /** Whether a place on the network is there or being made. */
  isUsed(network: string): boolean {
    return this.#ports.has(network);
  }
}

/** `ethN` with the lowest N that is free in a sandbox. */
export function freeInterface(taken: readonly { readonly interface: string }[]): string {
  let n = 0;
  while (taken.some((place) => place.interface === `eth${n}`)) n += 1;
  return `eth${n}`;
}
