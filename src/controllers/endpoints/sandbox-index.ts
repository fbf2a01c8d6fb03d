import { randomBytes } from 'node:crypto';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Place, SandboxRecord } from './sandbox-record.ts';

/** Which ids and adopted namespaces are in use. */
export class SandboxIndex {
  readonly #starts = new Set<string>();
  readonly #adopted = new Map<string, string>();

  /** An id of which also the first 7 digits are used only once: the port on the gateway bridge is named by them. */
  freshId(): string {
    for (;;) {
      const id = randomBytes(6).toString('hex');
      if (!this.#starts.has(id.slice(0, 7))) return id;
    }
  }

  add({ id, adopted }: Pick<SandboxRecord, 'id' | 'adopted'>): void {
    this.#starts.add(id.slice(0, 7));
    if (adopted !== undefined) this.#adopted.set(adopted.inode, id);
  }

  remove({ id, adopted }: Pick<SandboxRecord, 'id' | 'adopted'>): void {
    this.#starts.delete(id.slice(0, 7));
    if (adopted !== undefined && this.#adopted.get(adopted.inode) === id) this.#adopted.delete(adopted.inode);
  }

  /** The sandbox that a namespace was adopted as. */
  adoptedAs(inode: string): string | undefined {
    return this.#adopted.get(inode);
  }
}

/** `ethN` with the lowest N that is free in a sandbox. */
export function freeInterface(taken: readonly { readonly interface: string }[]): string {
  let n = 0;
  while (taken.some((place) => place.interface === `eth${n}`)) n += 1;
  return `eth${n}`;
}

export type Connected = Place & { readonly endpoint: Endpoint };

export function connectedPlaces({ places }: Pick<SandboxRecord, 'places'>): readonly Connected[] {
  return places.flatMap((place) =>
    place.state === 'connected' && place.endpoint !== undefined ? [{ ...place, endpoint: place.endpoint }] : [],
  );
}

export function leaving(place: Place): Place {
  return { ...place, state: 'leaving' };
}
