import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { GatewayPiece, HostView } from '../../dataplane/dataplane.ts';
import { Refusal } from '../../lib/errors.ts';
import {
  firstOf,
  formatAddress,
  lastOf,
  networkOf,
  overlaps,
  parseInterfaceAddress,
  parsePrefix,
} from '../../lib/prefix.ts';
import { gatewayBridge } from '../../model/interfaces.ts';
import { nameServerSubnets } from '../../model/name-server.ts';
import { parseRecord } from '../../model/record.ts';
import { InterfaceAddressText } from '../../model/text.ts';
import type { Journal } from '../../state/journal.ts';
import { macOf } from '../ipam/ipam.ts';
import { mostBridgePorts } from './overlays.ts';
import type { Exit, SandboxRecord } from './sandbox-record.ts';

const Gateway = v.looseObject({ addresses: v.pipe(v.array(InterfaceAddressText), v.length(2)) });

/** @throws ParseError */
export function parseGateway(json: unknown, place: string): v.InferOutput<typeof Gateway> {
  return parseRecord(Gateway, json, place);
}

export interface ExitsNeeds {
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly look: () => Promise<HostView>;
}

export interface ExitsInit {
  /** IPv4 networks that the bridge may have, the first that is free is taken. */
  readonly pools: readonly string[];
  readonly host: string;
  readonly mtu: number;
}

/** The gateway bridge's own small address plan: chosen once, at the first exit, and kept with the host's state. */
export class Exits {
  readonly #needs: ExitsNeeds;
  readonly #init: ExitsInit;
  readonly #used = new Map<number, string>();
  #addresses: Promise<readonly string[]> | undefined;
  #chosen: readonly string[] | undefined;

  constructor(needs: ExitsNeeds, init: ExitsInit) {
    this.#needs = needs;
    this.#init = init;
  }

  /** Addresses of the bridge, once it exists. */
  get addresses(): readonly string[] | undefined {
    return this.#chosen;
  }

  /** Takes up what earlier lives gave. */
  async load(sandboxes: readonly SandboxRecord[]): Promise<GatewayPiece | undefined> {
    const stored = (await this.#needs.journal.load('host')).find(({ id }) => id === 'gateway');
    if (stored === undefined) return undefined;
    const { addresses } = parseGateway(stored.value, 'gateway bridge in the state directory');
    this.#addresses = Promise.resolve(addresses);
    for (const { id, exit } of sandboxes) {
      const [first] = exit?.addresses ?? [];
      if (first !== undefined) this.#used.set(this.#numberOf(first, addresses), id);
    }
    return this.#piece(addresses);
  }

  /** The bridge's piece, once it was chosen. */
  async piece(): Promise<GatewayPiece> {
    this.#addresses ??= this.#choose();
    try {
      return this.#piece(await this.#addresses);
    } catch (error) {
      this.#addresses = undefined;
      throw error;
    }
  }

  /** An address for a sandbox: the lowest that is free. @throws Refusal 'conflict' when the bridge is full */
  take(piece: GatewayPiece, sandbox: string, at: { interface: string }): Exit {
    const [v4 = '', v6 = ''] = piece.addresses;
    const gateway = parseInterfaceAddress(v4);
    const most = Number(lastOf(networkOf(gateway)) - firstOf(networkOf(gateway)));
    let number = 2;
    while (this.#used.has(number)) number += 1;
    if (this.#used.size >= mostBridgePorts) {
      throw new Refusal(
        'conflict',
        `${gatewayBridge} has ${mostBridgePorts} containers and takes no more: use an internal network, or another host`,
      );
    }
    if (number >= most) throw new Refusal('conflict', `${gatewayBridge} has no free address left (${v4})`);
    this.#used.set(number, sandbox);
    const addresses = [v4, v6].map((text) => {
      const { address, length } = parseInterfaceAddress(text);
      const value = networkOf({ address, length }).address.value + BigInt(number);
      return `${formatAddress({ family: address.family, value })}/${length}`;
    });
    return { interface: at.interface, port: `veth${sandbox.slice(0, 7)}`, mac: macOf(addresses), addresses };
  }

  give(sandbox: string): void {
    for (const [number, holder] of this.#used) if (holder === sandbox) this.#used.delete(number);
  }

  #piece(addresses: readonly string[]): GatewayPiece {
    this.#chosen = addresses;
    return { kind: 'gateway', addresses, mtu: this.#init.mtu };
  }

  #numberOf(text: string, addresses: readonly string[]): number {
    const network = networkOf(parseInterfaceAddress(addresses[0] ?? text));
    return Number(parseInterfaceAddress(text).address.value - network.address.value);
  }

  async #choose(): Promise<readonly string[]> {
    const view = await this.#needs.look();
    const taken = [
      ...nameServerSubnets.map(parsePrefix),
      ...view.routes.filter((route) => route.interface !== gatewayBridge).map(({ prefix }) => parsePrefix(prefix)),
      ...view.interfaces
        .filter(({ name }) => name !== gatewayBridge)
        .flatMap(({ addresses }) => addresses.map((text) => networkOf(parseInterfaceAddress(text)))),
    ];
    const pool = this.#init.pools.find((text) => !taken.some((other) => overlaps(other, parsePrefix(text))));
    if (pool === undefined) {
      throw new Refusal(
        'conflict',
        `${gatewayBridge} gets no network: this host routes all of ${this.#init.pools.join(', ')}; name another with --gateway-address-pool`,
      );
    }
    const prefix = parsePrefix(pool);
    const v4 = `${formatAddress({ family: 4, value: firstOf(prefix) + 1n })}/${prefix.length}`;
    const digits = createHash('sha256').update(this.#init.host).digest('hex');
    const v6 = `fd${digits.slice(0, 2)}:${digits.slice(2, 6)}:${digits.slice(6, 10)}::1/64`;
    const addresses = [v4, formatV6(v6)];
    await this.#needs.journal.commit([{ kind: 'host', id: 'gateway', put: { addresses } }]);
    return addresses;
  }
}

function formatV6(text: string): string {
  const { address, length } = parseInterfaceAddress(text);
  return `${formatAddress(address)}/${length}`;
}
