import * as v from 'valibot';
import { MeshPlaceInput } from '../../model/mesh-place.ts';

/** What goes over the API about hosts that are joined without a store. Requests are strict, answers loose, as in `schema.ts`. */

/** Places that a host dials by hand. */
export const mostTargets = 64;

const Targets = v.pipe(v.array(MeshPlaceInput), v.maxLength(mostTargets, `are more than ${mostTargets}`));
/** What it is, who takes it finds out: it is not quoted. */
const TokenText = v.pipe(
  v.string(),
  v.maxLength(100, 'is longer than a token'),
  v.regex(/^skein1\./, 'is no token: it begins with skein1.'),
);

export const JoinBody = v.pipe(
  v.strictObject({
    targets: Targets,
    token: v.exactOptional(TokenText),
    /** These alone are dialled from then on. */
    replace: v.optional(v.boolean(), false),
  }),
  v.check(({ targets, replace }) => targets.length > 0 || replace, 'targets are none'),
);
export const DepartedView = v.looseObject({
  heir: v.optional(v.looseObject({ id: v.string(), name: v.optional(v.string()) })),
});
export const LeaveBody = v.strictObject({ targets: v.pipe(Targets, v.minLength(1, 'are none')) });

const NumberView = v.number();
const HostNameView = v.looseObject({ id: v.string(), name: v.optional(v.string()) });
const RoleView = v.picklist(['admin', 'member']);
const LinkStateView = v.picklist(['established', 'connecting', 'retrying', 'refused']);

export const TokenView = v.looseObject({
  /** It lets hosts into the cluster: to be kept as a password is. */
  token: v.string(),
  /** Where a host that has it can connect to. */
  place: v.string(),
});

export const JoinedView = v.looseObject({
  /** None while this host goes on waiting. */
  cluster: v.optional(v.string()),
  /** The daemon begins anew in that cluster, and does not answer for a moment. */
  restarts: v.boolean(),
  reached: v.array(
    v.looseObject({
      target: v.string(),
      host: v.optional(HostNameView),
      /** Why nobody answered, or what is wrong all the same. */
      why: v.optional(v.string()),
    }),
  ),
});

export const RemovedHostView = v.looseObject({
  ...{ id: v.string(), name: v.optional(v.string()) },
  /** The one that counts from now on, when the host knew the old one. */
  token: v.optional(v.string()),
  place: v.string(),
});
export const PromotedHostView = HostNameView;

const MemberView = v.looseObject({
  kind: v.literal('member'),
  cluster: v.string(),
  role: RoleView,
  /** Nothing runs in it yet. */
  empty: v.boolean(),
  place: v.string(),
  hosts: NumberView,
  links: NumberView,
  problem: v.optional(v.string()),
});

const WaitsView = v.looseObject({
  kind: v.literal('waiting'),
  /** Others that wait with the same token. */
  met: v.array(HostNameView),
  place: v.string(),
  problem: v.optional(v.string()),
});

export const TargetView = v.looseObject({
  address: v.string(),
  byHand: v.boolean(),
  host: v.optional(HostNameView),
  state: LinkStateView,
  why: v.optional(v.string()),
  next: v.optional(v.string()),
});

export const PeerView = v.looseObject({
  ...{ id: v.string(), name: v.optional(v.string()) },
  role: RoleView,
  state: v.picklist(['alive', 'suspect', 'lost', 'left']),
  self: v.boolean(),
  addresses: v.array(v.string()),
  /** The round-trip time, in milliseconds, of this host's own links only. */
  links: v.array(v.looseObject({ id: v.string(), name: v.optional(v.string()), rtt: v.optional(NumberView) })),
});

export const ConnectionView = v.looseObject({
  peer: v.optional(HostNameView),
  address: v.string(),
  dialled: v.boolean(),
  state: LinkStateView,
  since: v.string(),
  rtt: v.optional(NumberView),
  why: v.optional(v.string()),
  /** How the packets of containers go there. */
  data: v.optional(
    v.looseObject({
      kind: v.picklist(['vxlan', 'none']),
      /** The largest packet of a container that passes, in bytes. */
      mtu: v.optional(NumberView),
      /** Why it is not the best way that there is. */
      reason: v.optional(v.string()),
    }),
  ),
});

export const RangeView = v.looseObject({
  kind: v.picklist(['addresses', 'subnets', 'vnis']),
  network: v.optional(HostNameView),
  family: v.optional(v.picklist([4, 6])),
  owner: HostNameView,
  spans: v.array(v.looseObject({ first: v.string(), last: v.string() })),
  /** How many spans are left out. */
  more: NumberView,
  /** How many numbers there are in all spans, in decimal: in IPv6 more than a number can say. */
  count: v.string(),
  used: v.optional(NumberView),
  /** Whether the owner can be asked for some. */
  reachable: v.boolean(),
  conflicts: v.array(v.string()),
});

/** Of a host that belongs to a mesh. */
export const MeshView = MemberView;

/** What a host says of itself that has a token and no cluster yet. */
export const WaitingView = v.looseObject({
  state: v.literal('waiting'),
  version: v.string(),
  pid: NumberView,
  started: v.string(),
  host: HostNameView,
  mesh: WaitsView,
  targets: v.array(TargetView),
});

export const MeshReport = v.looseObject({
  peers: v.array(PeerView),
  connections: v.array(ConnectionView),
  targets: v.array(TargetView),
  ipam: v.array(RangeView),
});

export type MeshView = v.InferOutput<typeof MeshView>;
export type WaitingView = v.InferOutput<typeof WaitingView>;
export type TargetView = v.InferOutput<typeof TargetView>;
export type PeerView = v.InferOutput<typeof PeerView>;
export type ConnectionView = v.InferOutput<typeof ConnectionView>;
export type RangeView = v.InferOutput<typeof RangeView>;
