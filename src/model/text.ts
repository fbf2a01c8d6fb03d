import * as v from 'valibot';
import {
  type Address,
  contains,
  formatAddress,
  formatPrefix,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
} from '../lib/prefix.ts';

/**
 * The texts that our records are made of. Every length is capped here, once: what passed is safe to store, to show and
 * to use as part of a key, a path or an interface's name.
 */

export const most = {
  name: 128,
  labels: 64,
  aliases: 32,
  text: 1024,
  subnets: 64,
  auxAddresses: 64,
  addresses: 16,
  routes: 256,
  dnsServers: 16,
  dnsWords: 32,
  recordAddresses: 64,
} as const;

export const HexId = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'is not an id of 64 hexadecimal digits'));
export const HostId = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, 'is not a host id of 32 hexadecimal digits'));
export const SandboxId = v.pipe(v.string(), v.regex(/^[0-9a-f]{12}$/, 'is not a sandbox id of 12 hexadecimal digits'));
/** Docker's rule for names (container, network). */
export const Name = v.pipe(
  v.string(),
  v.maxLength(most.name, `is longer than ${most.name} characters`),
  v.regex(
    /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/,
    'is not a name: letters, digits, _ . and - are allowed, the first a letter or digit',
  ),
);

const text = {
  address: (input: string) => formatAddress(parseAddress(input)),
  prefix: (input: string) => formatPrefix(parsePrefix(input)),
  interfaceAddress: (input: string) => formatPrefix(parseInterfaceAddress(input)),
} as const;

/** The one text of it, or undefined when it is none. */
function formatted(kind: keyof typeof text, input: string): string | undefined {
  try {
    return text[kind](input);
  } catch {
    return undefined;
  }
}

/** Records are compared by their text, with each other and with what the kernel says: equal addresses must have equal text. */
const canonical = (kind: keyof typeof text, what: string) =>
  v.pipe(
    v.string(),
    v.check(
      (input) => formatted(kind, input) === input,
      ({ input }) => {
        const right = formatted(kind, input);
        return right === undefined ? `is not ${what}` : `is not how ${right} is written`;
      },
    ),
  );
/** As people write it; it comes out as records have it. */
const written = (kind: keyof typeof text, what: string) =>
  v.pipe(
    v.string(),
    v.check((input) => formatted(kind, input) !== undefined, `is not ${what}`),
    v.transform(text[kind]),
  );

const what = {
  address: 'an IP address',
  prefix: 'a network such as 10.0.0.0/24',
  interfaceAddress: 'an address with a prefix length, such as 10.0.0.2/24',
} as const;
export const AddressText = canonical('address', what.address);
export const PrefixText = canonical('prefix', what.prefix);
export const InterfaceAddressText = canonical('interfaceAddress', what.interfaceAddress);
export const AddressInput = written('address', what.address);

const special = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/4', '255.255.255.255/32', '::/8', 'ff00::/8'].map(parsePrefix);

/** Whether a machine can have the address beside its loopback: not unspecified, loopback, multicast or broadcast. */
export function isUnicast(address: Address): boolean {
  return !special.some((prefix) => contains(prefix, address));
}

const loopback = ['127.0.0.0/8', '::1/128'].map(parsePrefix);

export function isLoopback(address: Address): boolean {
  return loopback.some((prefix) => contains(prefix, address));
}

export const Mac = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, 'is not a MAC address in lower case such as 02:42:0a:00:00:02'),
  v.check((text) => (Number.parseInt(text.slice(0, 2), 16) & 1) === 0, 'is a multicast MAC address'),
  v.check((text) => text !== '00:00:00:00:00:00', 'is the MAC address of nobody'),
);
export const MacInput = v.pipe(v.string(), v.toLowerCase(), Mac);
export const Port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));
export const Mtu = v.pipe(v.number(), v.integer(), v.minValue(576, 'is smaller than 576'), v.maxValue(65535));
export const Time = v.pipe(v.string(), v.isoTimestamp());
export const Text = v.pipe(v.string(), v.maxLength(most.text));
export const Labels = v.pipe(
  v.record(v.pipe(v.string(), v.minLength(1), v.maxLength(256)), Text),
  v.check((labels) => Object.keys(labels).length <= most.labels, `are more than ${most.labels}`),
);
/** The owner's signature over the record without this field; checked once hosts are admitted. */
export const Signature = v.optional(v.pipe(v.string(), v.maxLength(256)));

export type HexId = v.InferOutput<typeof HexId>;
export type HostId = v.InferOutput<typeof HostId>;
