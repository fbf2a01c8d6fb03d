import type { Socket } from 'node:net';

export interface ConnectionLimits {
  /** At once, of all and of one source. */
  readonly connections: number;
  readonly perSource: number;
}

interface Held {
  readonly source: string;
  readonly isIdle: () => boolean;
}

/** The connections of all TCP sockets of a server. */
export class Connections {
  readonly #limits: ConnectionLimits;
  /** The oldest first. */
  readonly #held = new Map<Socket, Held>();
  readonly #sources = new Map<string, number>();

  constructor(limits: ConnectionLimits = { connections: 512, perSource: 16 }) {
    this.#limits = limits;
  }

  /** Keeps it until it is closed. @returns false where there is no room: it is to be cut off */
  add(connection: Socket, source: string, isIdle: () => boolean): boolean {
    const own = this.#sources.get(source) ?? 0;
    if (own >= this.#limits.perSource) return false;
    if (this.#held.size >= this.#limits.connections && !this.#makeRoom(own)) return false;
    this.#held.set(connection, { source, isIdle });
    this.#sources.set(source, own + 1);
    connection.once('close', () => this.#remove(connection));
    return true;
  }

  /** Of those who have more than `own`, whoever has most loses the oldest connection on which nothing is due. */
  #makeRoom(own: number): boolean {
    let most = own;
    let found: Socket | undefined;
    for (const [connection, { source, isIdle }] of this.#held) {
      const count = this.#sources.get(source) ?? 0;
      if (count <= most || !isIdle()) continue;
      most = count;
      found = connection;
    }
    if (found === undefined) return false;
    this.#remove(found);
    found.destroy();
    return true;
  }

  #remove(connection: Socket): void {
    const held = this.#held.get(connection);
    if (held === undefined) return;
    this.#held.delete(connection);
    const left = (this.#sources.get(held.source) ?? 1) - 1;
    if (left === 0) this.#sources.delete(held.source);
    else this.#sources.set(held.source, left);
  }
}
