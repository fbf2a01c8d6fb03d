import * as v from 'valibot';
import { AddressWishText } from '../../model/address-wish.ts';
import { DnsOption, DnsSearch } from '../../model/container.ts';
import { NamedPorts } from '../../model/named-port.ts';
import { AddressInput, HexId, HostId, Labels, MacInput, most, Name, SandboxId, Text } from '../../model/text.ts';
import { MeshReport, MeshView, WaitingView } from './mesh-schema.ts';

/**
 * What goes over the API. Requests are strict: an unknown field is refused, so that nothing asked for is silently left
 * out. Answers are loose: a client keeps what a newer daemon adds. Containers and networks have Docker's field names.
 */

/** The longest body that is read, in bytes. */
export const longestBody = 1024 * 1024;

const Argument = v.pipe(v.string(), v.maxLength(128 * 1024, 'is longer than 131072 characters'));
const Command = v.pipe(
  v.array(Argument),
  v.minLength(1, 'is empty: give the program to run'),
  v.maxLength(4096, 'has more than 4096 arguments'),
);
const Environment = v.pipe(
  v.array(v.pipe(Argument, v.regex(/^[^=\0]+=[^\0]*$/, 'is not KEY=VALUE'))),
  v.maxLength(4096, 'has more than 4096 variables'),
);
/** A longer label fits no question (RFC 1035 §2.3.4). */
const Alias = v.pipe(
  Name,
  v.check((text) => text.split('.').every((label) => label.length <= 63), 'has more than 63 characters without a dot'),
);
const Aliases = v.pipe(v.array(Alias), v.maxLength(most.aliases, `are more than ${most.aliases}`));
const Reference = v.pipe(
  v.string(),
  v.minLength(1, 'is empty'),
  v.maxLength(most.name, `is longer than ${most.name} characters`),
);
const Path = v.pipe(
  v.string(),
  v.maxLength(4096, 'is longer than 4096 characters'),
  v.regex(/^\/[^\0]*$/, 'is not an absolute path'),
);
const Pid = v.pipe(v.number(), v.integer('is not a whole number'), v.minValue(1, 'is smaller than 1'));
const size = (largest: number) =>
  v.pipe(
    v.number(),
    v.integer('is not a whole number'),
    v.minValue(1, 'is smaller than 1'),
    v.maxValue(largest, `is larger than ${largest}`),
  );

const TerminalSize = v.strictObject({ rows: size(65535), columns: size(65535) });

/** A number in a path or query, where everything is text. */
const Digits = v.pipe(v.string(), v.regex(/^\d{1,15}$/, 'is not a whole number'), v.transform(Number));
const Flag = v.pipe(
  v.picklist(['true', 'false'], 'is neither true nor false'),
  v.transform((text) => text === 'true'),
);

/** Addresses and prefixes are judged by the controller, all at once. */
export const CreateNetworkBody = v.strictObject({
  name: Name,
  driver: v.exactOptional(Text),
  subnets: v.optional(
    v.pipe(
      v.array(
        v.strictObject({
          subnet: Text,
          gateway: v.exactOptional(Text),
          ipRange: v.exactOptional(Text),
          auxAddresses: v.exactOptional(v.record(Text, Text)),
        }),
      ),
      v.maxLength(most.subnets, `are more than ${most.subnets}`),
    ),
    [],
  ),
  ipv6: v.optional(v.boolean(), false),
  internal: v.optional(v.boolean(), false),
  attachable: v.optional(v.boolean(), false),
  names: v.optional(v.picklist(['unique', 'shared']), 'unique'),
  options: v.optional(Labels, {}),
  labels: v.optional(Labels, {}),
});

/** Besides `ip` and `ip6`, in Weave's words: `10.0.1.1/24`, `net:10.0.1.0/24`, `net:default`. */
const AddressWishes = v.pipe(v.array(AddressWishText), v.maxLength(most.addresses, `are more than ${most.addresses}`));

const Wishes = {
  ip: v.exactOptional(AddressInput),
  ip6: v.exactOptional(AddressInput),
  addresses: v.exactOptional(AddressWishes),
  mac: v.exactOptional(MacInput),
};

export const ConnectBody = v.strictObject({ container: Reference, aliases: v.optional(Aliases, []), ...Wishes });
export const DisconnectBody = v.strictObject({ container: Reference, force: v.optional(v.boolean(), false) });

/** Without a name it has the host's, without an address the next that is free. */
export const ExposeBody = v.strictObject({
  name: v.exactOptional(Name),
  ip: v.exactOptional(AddressInput),
  ip6: v.exactOptional(AddressInput),
  addresses: v.exactOptional(AddressWishes),
  /** Whether what the host forwards onto the network has its address there; it has unless said. */
  masquerade: v.exactOptional(v.boolean()),
});
export const HideBody = v.strictObject({ address: v.exactOptional(AddressInput) });

export const RunBody = v.strictObject({
  command: Command,
  name: v.exactOptional(Name),
  hostname: v.exactOptional(
    v.pipe(
      v.string(),
      v.maxLength(63, 'is longer than 63 characters'),
      v.regex(/^[a-zA-Z0-9][a-zA-Z0-9.-]*$/, 'is not a host name'),
    ),
  ),
  network: v.exactOptional(Reference),
  aliases: v.optional(Aliases, []),
  env: v.optional(Environment, []),
  rootfs: v.exactOptional(Path),
  interactive: v.optional(v.boolean(), false),
  tty: v.optional(v.boolean(), false),
  size: v.exactOptional(TerminalSize),
  remove: v.optional(v.boolean(), false),
  restart: v.exactOptional(
    v.strictObject({
      name: v.picklist(['no', 'on-failure', 'always', 'unless-stopped']),
      /** With `on-failure`: how often at most; 0 is without end. */
      most: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000_000)), 0),
    }),
  ),
  /** For names outside; an empty list leaves what the host has. */
  dns: v.exactOptional(
    v.strictObject({
      servers: v.optional(
        v.pipe(v.array(AddressInput), v.maxLength(most.dnsServers, `are more than ${most.dnsServers}`)),
        [],
      ),
      search: v.optional(v.pipe(v.array(DnsSearch), v.maxLength(most.dnsWords, `are more than ${most.dnsWords}`)), []),
      options: v.optional(v.pipe(v.array(DnsOption), v.maxLength(most.dnsWords, `are more than ${most.dnsWords}`)), []),
    }),
  ),
  /** Found by name, once it is on a network: `_NAME._PROTOCOL.CONTAINER`. */
  ports: v.exactOptional(NamedPorts),
  ...Wishes,
});

export const ExecBody = v.strictObject({
  command: Command,
  env: v.optional(Environment, []),
  interactive: v.optional(v.boolean(), false),
  tty: v.optional(v.boolean(), false),
  size: v.exactOptional(TerminalSize),
});

export const KillBody = v.strictObject({
  signal: v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9+-]{1,16}$/, 'is not a signal')), 'SIGKILL'),
});
/** Seconds until SIGKILL follows SIGTERM. */
export const StopBody = v.strictObject({
  seconds: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(24 * 3600)), 10),
});
export const ResizeBody = TerminalSize;

const Namespace = { path: v.exactOptional(Path), pid: v.exactOptional(Pid) };
export const AttachBody = v.strictObject({
  network: Reference,
  ...Namespace,
  name: v.exactOptional(Name),
  aliases: v.optional(Aliases, []),
  /** Also the way out of the host. */
  exit: v.optional(v.boolean(), false),
  ...Wishes,
});
export const DetachBody = v.strictObject({ network: Reference, ...Namespace, sandbox: v.exactOptional(SandboxId) });

/** A name as it is asked for: what no message can have is refused where it is looked up. */
const DnsName = v.pipe(v.string(), v.minLength(1, 'is empty'), v.maxLength(254, 'is longer than 254 characters'));

export const RecordBody = v.strictObject({
  name: DnsName,
  addresses: v.pipe(
    v.array(AddressInput),
    v.minLength(1, 'are none'),
    v.maxLength(most.recordAddresses, `are more than ${most.recordAddresses}`),
  ),
  ports: v.exactOptional(NamedPorts),
  /** Without it every container of the cluster sees the name. */
  network: v.exactOptional(Reference),
});

export const DnsNameParams = v.strictObject({ name: DnsName });
export const LookupQuery = v.strictObject({
  type: v.optional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9]{1,16}$/, 'is not a type of records')), 'A'),
  /** Who asks: a container of this host; without it the host itself, which sees all that its containers do. */
  container: v.exactOptional(Reference),
});
export const RemoveRecordQuery = v.strictObject({
  /** Without it what was given for the whole cluster. */
  network: v.exactOptional(Reference),
  /** Wherever it was given. */
  everywhere: v.optional(Flag, 'false'),
  /** With commas between them; without any all go. */
  addresses: v.optional(
    v.pipe(
      v.string(),
      v.maxLength(most.recordAddresses * 50),
      v.transform((text) => (text === '' ? [] : text.split(','))),
      v.array(AddressInput),
    ),
    '',
  ),
});

export const NoQuery = v.strictObject({});
export const ForceQuery = v.strictObject({ force: v.optional(Flag, 'false') });
export const ListContainersQuery = v.strictObject({ all: v.optional(Flag, 'false') });
export const OutputQuery = v.strictObject({
  follow: v.optional(Flag, 'false'),
  tail: v.exactOptional(Digits),
  offset: v.exactOptional(Digits),
});

export const ReferenceParams = v.strictObject({ name: Reference });
export const StreamParams = v.strictObject({ id: HexId });

const IntegerView = v.number();

export const VersionView = v.looseObject({
  Version: v.string(),
  ApiVersion: v.string(),
  FeatureLevel: IntegerView,
  NodeVersion: v.string(),
  KernelVersion: v.string(),
  Os: v.string(),
  Arch: v.string(),
});

const pathProblems = ['carrier', 'port', 'silent', 'nat', 'mtu', 'checksum', 'clash'] as const;

export const HostView = v.looseObject({
  id: HostId,
  name: v.string(),
  advertise: v.string(),
  data: v.string(),
  mtu: IntegerView,
  version: v.string(),
  state: v.picklist(['alive', 'lost']),
  lastSeen: v.optional(v.string()),
  /** What is wrong on the way to it, in a word; `paths` of the status says more. */
  path: v.optional(v.picklist(pathProblems)),
  /** Whether it is the host that answers. */
  self: v.boolean(),
});

const StoreView = v.looseObject({
  url: v.string(),
  members: v.array(v.looseObject({ url: v.string(), healthy: v.boolean() })),
  lastAnswer: v.optional(v.string()),
  failingSince: v.optional(v.string()),
  lastError: v.optional(v.string()),
});

/** This host itself on a network. */
export const ExposedView = v.looseObject({
  id: v.string(),
  network: v.string(),
  name: v.string(),
  interface: v.string(),
  addresses: v.array(v.string()),
  mac: v.optional(v.string()),
  masquerade: v.boolean(),
});
export const HiddenView = v.looseObject({ addresses: v.array(v.string()) });

export const StatusView = v.looseObject({
  /** It belongs to a cluster; what a host says that has none yet is a `WaitingView`. */
  state: v.optional(v.literal('ready'), 'ready'),
  version: v.string(),
  pid: IntegerView,
  started: v.string(),
  cluster: v.looseObject({
    id: v.string(),
    generation: IntegerView,
    featureLevel: IntegerView,
    dataPort: IntegerView,
    underlay: IntegerView,
  }),
  store: StoreView,
  host: HostView,
  hosts: v.looseObject({ alive: IntegerView, lost: IntegerView }),
  networks: IntegerView,
  containers: v.looseObject({ all: IntegerView, running: IntegerView }),
  sandboxes: IntegerView,
  /** Networks that this host itself is on. */
  exposed: v.optional(v.array(ExposedView), []),
  /**
   * What is wrong on the ways to other hosts, with this host's own port or with a network that it cannot carry, and
   * what to do.
   */
  paths: v.array(
    v.looseObject({
      kind: v.picklist(pathProblems),
      id: v.optional(v.string()),
      host: v.optional(v.string()),
      network: v.optional(v.string()),
      sentence: v.string(),
      since: v.string(),
    }),
  ),
  /** Records of the store that are nonsense and were left out. */
  skipped: v.array(v.looseObject({ place: v.string(), reason: v.string() })),
  /** Where hosts are joined without a store. */
  mesh: v.optional(MeshView),
});

export const NetworkView = v.looseObject({
  Name: v.string(),
  Id: v.string(),
  Created: v.string(),
  Scope: v.string(),
  Driver: v.string(),
  EnableIPv6: v.boolean(),
  IPAM: v.looseObject({
    Driver: v.string(),
    Options: v.record(v.string(), v.string()),
    Config: v.array(
      v.looseObject({
        Subnet: v.string(),
        IPRange: v.optional(v.string()),
        Gateway: v.optional(v.string()),
        AuxiliaryAddresses: v.optional(v.record(v.string(), v.string())),
      }),
    ),
  }),
  Internal: v.boolean(),
  Attachable: v.boolean(),
  /** `shared` when several hosts can have one name; not Docker's. */
  Names: v.optional(v.string()),
  Ingress: v.boolean(),
  ConfigFrom: v.looseObject({ Network: v.string() }),
  ConfigOnly: v.boolean(),
  Containers: v.record(
    v.string(),
    v.looseObject({
      Name: v.string(),
      EndpointID: v.string(),
      MacAddress: v.string(),
      IPv4Address: v.string(),
      IPv6Address: v.string(),
      /** Of a host itself that is on the network. */
      Kind: v.optional(v.literal('host')),
    }),
  ),
  Options: v.record(v.string(), v.string()),
  Labels: v.record(v.string(), v.string()),
  /** What is wrong with it on this host, in sentences; only when there is something. */
  Problems: v.optional(v.array(v.string())),
});

export const ContainerView = v.looseObject({
  Id: v.string(),
  Created: v.string(),
  Path: v.string(),
  Args: v.array(v.string()),
  State: v.looseObject({
    Status: v.picklist(['created', 'running', 'restarting', 'exited']),
    Running: v.boolean(),
    Restarting: v.boolean(),
    Pid: IntegerView,
    ExitCode: IntegerView,
    StartedAt: v.string(),
    FinishedAt: v.string(),
  }),
  Name: v.string(),
  RestartCount: IntegerView,
  HostConfig: v.looseObject({
    AutoRemove: v.boolean(),
    RestartPolicy: v.looseObject({ Name: v.string(), MaximumRetryCount: IntegerView }),
    Dns: v.optional(v.array(v.string()), []),
    DnsOptions: v.optional(v.array(v.string()), []),
    DnsSearch: v.optional(v.array(v.string()), []),
  }),
  Config: v.looseObject({
    Hostname: v.string(),
    Tty: v.boolean(),
    OpenStdin: v.boolean(),
    Env: v.array(v.string()),
    Cmd: v.array(v.string()),
    ExposedPorts: v.optional(v.record(v.string(), v.looseObject({})), {}),
  }),
  NetworkSettings: v.looseObject({
    SandboxID: v.string(),
    SandboxKey: v.string(),
    Networks: v.record(
      v.string(),
      v.looseObject({
        NetworkID: v.string(),
        EndpointID: v.string(),
        Gateway: v.string(),
        IPAddress: v.string(),
        IPPrefixLen: IntegerView,
        IPv6Gateway: v.string(),
        GlobalIPv6Address: v.string(),
        GlobalIPv6PrefixLen: IntegerView,
        MacAddress: v.string(),
        Aliases: v.array(v.string()),
        /** All of them, where there are several of a family; not Docker's. */
        Addresses: v.optional(v.array(v.string())),
      }),
    ),
  }),
});

const PortView = v.looseObject({ name: v.string(), port: IntegerView, protocol: v.string() });

export const NameView = v.looseObject({
  id: v.string(),
  /** The first is what its addresses are called. */
  names: v.array(v.string()),
  /** None: every container of the cluster sees it. */
  network: v.optional(v.looseObject({ id: v.string(), name: v.optional(v.string()) })),
  addresses: v.array(v.string()),
  ports: v.array(PortView),
  host: v.looseObject({ id: v.string(), name: v.optional(v.string()) }),
  container: v.optional(v.looseObject({ id: v.string(), name: v.string() })),
  /** Whether it is its host itself. */
  itself: v.optional(v.boolean(), false),
  /** Its host is lost: it is not answered. */
  lost: v.boolean(),
  byHand: v.boolean(),
});

export const RecordView = v.looseObject({
  id: v.string(),
  name: v.string(),
  addresses: v.array(v.string()),
  ports: v.array(PortView),
  /** None: every container of the cluster sees it. */
  network: v.optional(v.looseObject({ id: v.string(), name: v.optional(v.string()) })),
  /** What else has the name, in a sentence. */
  warning: v.optional(v.string()),
});

const OtherServerView = v.looseObject({
  address: v.string(),
  /** It has said nothing since a question that it left unanswered. */
  silent: v.boolean(),
});

export const LookupView = v.looseObject({
  /** NOERROR, NXDOMAIN and so on. */
  status: v.string(),
  /** Answered from names of the cluster, not by others. */
  own: v.boolean(),
  records: v.array(v.looseObject({ name: v.string(), ttl: IntegerView, type: v.string(), data: v.string() })),
  /** When nobody outside said anything that helps: who was to be asked. */
  asked: v.optional(v.array(OtherServerView)),
});

export const DnsView = v.looseObject({
  /** Where containers ask. */
  servers: v.array(v.string()),
  domains: v.array(v.string()),
  /** Names that are known here. */
  endpoints: IntegerView,
  /** Since the start. */
  questions: IntegerView,
  forwarded: IntegerView,
  failed: IntegerView,
  refused: IntegerView,
  /** Of the host, who are asked for names outside. */
  resolvers: v.array(OtherServerView),
  /** The store has been away since then: what was known of other hosts is answered. */
  staleSince: v.optional(v.string()),
  /** Why what is asked while the daemon is restarted will not be answered by the next one. */
  unheld: v.optional(v.string()),
});

/** All that this host knows, for who looks for a fault; what there is none of is left out. */
export const ReportView = v.looseObject({
  status: v.union([WaitingView, StatusView]),
  hosts: v.optional(v.array(HostView)),
  networks: v.optional(v.array(NetworkView)),
  containers: v.optional(v.array(ContainerView)),
  dns: v.optional(DnsView),
  mesh: v.optional(MeshReport),
});

export const ObjectView = v.variant('Kind', [
  v.looseObject({ Kind: v.literal('network'), Network: NetworkView }),
  v.looseObject({ Kind: v.literal('container'), Container: ContainerView }),
]);

export const AttachedView = v.looseObject({
  endpoint: v.string(),
  network: v.string(),
  name: v.string(),
  sandbox: v.string(),
  /** `/run/skein/netns/<sandbox>` */
  key: v.string(),
  interface: v.string(),
  mac: v.string(),
  addresses: v.array(v.string()),
});

export const Created = v.looseObject({ Id: v.string() });
/** `Warning` is empty, or sentences of what works now and may surprise later. */
export const CreatedNetwork = v.looseObject({ Id: v.string(), Warning: v.string() });
export const Named = v.looseObject({ Id: v.string(), Name: v.string() });
export const Done = v.looseObject({});
export const Exited = v.looseObject({ StatusCode: IntegerView });

/** What every status from 400 up carries. `exitCode`: the command could not be executed, 126 or 127. */
export const Problem = v.looseObject({
  error: v.string(),
  kind: v.picklist([
    'invalid',
    'not-found',
    'conflict',
    'forbidden',
    'unavailable',
    'unsupported',
    'not-executed',
    'internal',
  ]),
  exitCode: v.optional(v.picklist([126, 127])),
});

export type VersionView = v.InferOutput<typeof VersionView>;
export type HostView = v.InferOutput<typeof HostView>;
export type StatusView = v.InferOutput<typeof StatusView>;
export type NetworkView = v.InferOutput<typeof NetworkView>;
export type ContainerView = v.InferOutput<typeof ContainerView>;
export type NameView = v.InferOutput<typeof NameView>;
export type RecordView = v.InferOutput<typeof RecordView>;
export type DnsView = v.InferOutput<typeof DnsView>;
export type AttachedView = v.InferOutput<typeof AttachedView>;
export type ExposedView = v.InferOutput<typeof ExposedView>;
export type Problem = v.InferOutput<typeof Problem>;
