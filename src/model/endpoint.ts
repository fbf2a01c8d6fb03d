import * as v from 'valibot';
import { networkOf, overlaps, parseInterfaceAddress } from '../lib/prefix.ts';
import { NamedPorts } from './named-port.ts';
import { parseRecord } from './record.ts';
import {
  HexId,
  HostId,
  InterfaceAddressText,
  isUnicast,
  Mac,
  most,
  Name,
  SandboxId,
  Signature,
  Text,
  Time,
} from './text.ts';

/** One container's place on one network. */
export const Endpoint = v.looseObject({
  id: HexId,
  network: HexId,
  name: Name,
  /** Those asked for, and the start of the container's id. */
  aliases: v.pipe(v.array(Name), v.maxLength(most.aliases + 1)),
  mac: Mac,
  /** `10.0.0.2/24`: at most one a subnet. */
  addresses: v.pipe(
    v.array(
      v.pipe(
        InterfaceAddressText,
        v.check((text) => isUnicast(parseInterfaceAddress(text).address), 'is not an address of a container'),
      ),
    ),
    v.minLength(1),
    v.maxLength(most.addresses),
    v.check((list) => areApart(list), 'are several in one subnet'),
  ),
  /** The owner. */
  host: HostId,
  /** The owner's epoch when it was published. */
  epoch: v.pipe(v.number(), v.integer(), v.minValue(1)),
  sandbox: v.looseObject({ id: SandboxId, key: Text }),
  /** The container it belongs to, if it is one of ours or an engine's. */
  container: v.optional(v.looseObject({ id: HexId, name: Name })),
  /** What it says that it listens at. Releases that know nothing of it pass over it. */
  ports: v.optional(NamedPorts),
  created: Time,
  signature: Signature,
});
export type Endpoint = v.InferOutput<typeof Endpoint>;

/** The namespace of the host itself, as the key of a sandbox. */
export const hostNamespace = '/proc/1/ns/net';

/** Whether it is the place of a host itself (`skein expose`). */
export function isHostItself({ sandbox }: Pick<Endpoint, 'sandbox'>): boolean {
  return sandbox.key === hostNamespace;
}

function areApart(addresses: readonly string[]): boolean {
  const networks = addresses.map((text) => networkOf(parseInterfaceAddress(text)));
  return networks.every((one, i) => !networks.slice(i + 1).some((other) => overlaps(one, other)));
}

/** @throws ParseError */
export function parseEndpoint(json: unknown, place: string): Endpoint {
  return parseRecord(Endpoint, json, place);
}
