import * as v from 'valibot';
import { contains, parseAddress, parsePrefix } from '../lib/prefix.ts';
import { PublicKey } from './host-key.ts';
import { parseRecord } from './record.ts';
import { AddressText, HostId, isUnicast, Mtu, most, Name, PrefixText, Signature, Text, Time } from './text.ts';

const linkLocal = parsePrefix('fe80::/10');

/** Where VXLAN packets can be sent from any other host: an IPv6 link-local address would need an interface with it. */
export const DataAddress = v.pipe(
  AddressText,
  v.check((text) => {
    const address = parseAddress(text);
    return isUnicast(address) && !contains(linkLocal, address);
  }, 'is not an address that other hosts can reach'),
);

/** One machine that runs the daemon. Its identity is its id and key; names and addresses are attributes. */
export const Host = v.looseObject({
  id: HostId,
  name: Name,
  /** Ed25519 public key, raw, base64. */
  key: PublicKey,
  /** `address:port` for other hosts. */
  advertise: Text,
  /** Where VXLAN packets for this host go. */
  data: DataAddress,
  /** MTU of the way to the other hosts, in bytes, before encapsulation. */
  mtu: Mtu,
  /** Whether it answers probes of the way to it. */
  probed: v.optional(v.boolean()),
  /** Networks that this host routes: not chosen for overlays. */
  routes: v.pipe(v.array(PrefixText), v.maxLength(most.routes)),
  version: Text,
  featureLevel: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Grows with every start. */
  epoch: v.pipe(v.number(), v.integer(), v.minValue(1)),
  bootId: Text,
  started: Time,
  signature: Signature,
});
export type Host = v.InferOutput<typeof Host>;

/** @throws ParseError */
export function parseHost(json: unknown, place: string): Host {
  return parseRecord(Host, json, place);
}
