/** Links (rtnetlink RTM_NEWLINK and its kin; linux/if_link.h). Field names are the kernel's, in lower case. */

/** A reference to another network namespace in a request: an open file descriptor of it. */
export type NamespaceFd = number;

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly flags: number;
  readonly address: string;
  readonly mtu: number;
  /** Index of the bridge that it is a port of. */
  readonly master?: number;
  /** IFLA_LINK: a veth's other end, in the namespace that `linkNetnsid` names. */
  readonly link?: number;
  readonly linkNetnsid?: number;
  readonly group: number;
  readonly info?: LinkInfo;
  /** IFLA_PROTINFO/IFLA_INFO_SLAVE_DATA of a bridge port. */
  readonly bridgePort?: BridgePort;
}

/** IFLA_LINKINFO: kind, and what we use of its data. */
export type LinkInfo =
  | { readonly kind: 'bridge'; readonly bridge: Bridge }
  | { readonly kind: 'vxlan'; readonly vxlan: Vxlan }
  | { readonly kind: 'veth' }
  | { readonly kind: string };

/** IFLA_BR_*: unset fields are left to the kernel. */
export interface Bridge {
  readonly mcastSnooping?: boolean;
  readonly stpState?: number;
  readonly ageingTime?: number;
}

/** IFLA_BRPORT_* */
export interface BridgePort {
  readonly learning?: boolean;
  readonly unicastFlood?: boolean;
  readonly mcastFlood?: boolean;
  readonly bcastFlood?: boolean;
  readonly isolated?: boolean;
  readonly locked?: boolean;
  readonly neighSuppress?: boolean;
}

/** IFLA_VXLAN_* */
export interface Vxlan {
  readonly id: number;
  /** IFLA_VXLAN_LOCAL or IFLA_VXLAN_LOCAL6 */
  readonly local?: string;
  readonly port: number;
  readonly learning: boolean;
  readonly proxy: boolean;
  readonly ttl?: number;
  readonly udpCsum?: boolean;
}
