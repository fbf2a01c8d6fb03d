import * as v from 'valibot';
import { NamedPorts } from './named-port.ts';
import { parseRecord } from './record.ts';
import { AddressText, HexId, InterfaceAddressText, Mac, most, Name, SandboxId, Text, Time } from './text.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** When a container whose command has ended is started again, as Docker means these words. */
export const RestartPolicy = v.object({
  name: v.picklist(['no', 'on-failure', 'always', 'unless-stopped']),
  /** How often at most, with `on-failure`; 0 is without end. */
  most: Count,
});
export type RestartPolicy = v.InferOutput<typeof RestartPolicy>;

/** Where it is or was on a network, so that it comes back there. */
export const FormerPlace = v.looseObject({
  network: HexId,
  aliases: v.pipe(v.array(Name), v.maxLength(most.aliases + 1)),
  addresses: v.pipe(v.array(InterfaceAddressText), v.maxLength(most.addresses)),
  /** If it was asked for. */
  mac: v.optional(Mac),
  /** The addresses were asked for: it cannot be there with others. */
  fixed: v.boolean(),
});
export type FormerPlace = v.InferOutput<typeof FormerPlace>;

/** A word of `resolv.conf`. `.` alone stands for no domain at all. */
export const DnsSearch = v.pipe(
  v.string(),
  v.maxLength(254, 'is longer than a domain may be'),
  v.regex(
    /^(?:\.|(?:[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)(?:\.[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)*\.?)$/,
    'is not a domain',
  ),
);
export const DnsOption = v.pipe(
  v.string(),
  v.maxLength(64, 'is longer than 64 characters'),
  v.regex(/^(?!ndots(?!:\d{1,3}$))[a-zA-Z][a-zA-Z0-9_:-]*$/, 'is not an option of resolv.conf'),
);

/** What a container asks of names outside: Docker's `--dns`, `--dns-search`, `--dns-option`. An empty list leaves the host's. */
export const ContainerDns = v.object({
  servers: v.pipe(v.array(AddressText), v.maxLength(most.dnsServers)),
  search: v.pipe(v.array(DnsSearch), v.maxLength(most.dnsWords)),
  options: v.pipe(v.array(DnsOption), v.maxLength(most.dnsWords)),
});
export type ContainerDns = v.InferOutput<typeof ContainerDns>;

const Argument = v.pipe(v.string(), v.maxLength(128 * 1024));

/** A process container of this host: what it was asked to be, and how it is. Kept on this host only. */
export const Container = v.looseObject({
  id: HexId,
  name: Name,
  created: Time,
  command: v.pipe(v.array(Argument), v.minLength(1), v.maxLength(4096)),
  env: v.pipe(v.array(Argument), v.maxLength(4096)),
  hostname: Text,
  rootfs: v.optional(Text),
  interactive: v.boolean(),
  tty: v.boolean(),
  /** Removed by itself when it ends (`--rm`). */
  remove: v.boolean(),
  restart: v.optional(RestartPolicy, { name: 'no', most: 0 }),
  /** How often it was started again by itself since it was started by hand. */
  restarts: v.optional(Count, 0),
  /** Ended by hand: only a start by hand, or of the daemon with `always`, brings it back. */
  stopped: v.optional(v.boolean(), false),
  /** Is being removed: with its end, or when a daemon finds it, it goes. */
  removing: v.optional(v.boolean()),
  places: v.optional(v.array(FormerPlace), []),
  dns: v.optional(ContainerDns),
  ports: v.optional(NamedPorts),
  sandbox: SandboxId,
  state: v.variant('status', [
    v.object({ status: v.literal('created') }),
    v.object({ status: v.literal('running'), pid: v.number(), started: Time }),
    /** It has ended and will be started again, or is just being started again. */
    v.object({ status: v.literal('restarting'), exitCode: v.number(), started: Time, finished: Time }),
    v.object({ status: v.literal('exited'), exitCode: v.number(), started: Time, finished: Time }),
  ]),
});
export type Container = v.InferOutput<typeof Container>;

/** @throws ParseError */
export function parseContainer(json: unknown, place: string): Container {
  return parseRecord(Container, json, place);
}

/** The further names of a container on a network: those asked for, and the start of its id, as Docker's. */
export function aliasesOf({ id }: Pick<Container, 'id'>, asked: readonly string[]): string[] {
  return [...new Set([...asked, id.slice(0, 12)])];
}
