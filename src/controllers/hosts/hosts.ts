import type { Cluster } from '../../model/cluster.ts';
import type { Host } from '../../model/host.ts';

/** This host in the cluster, and the others. */
export interface Hosts {
  /** This host's own record as it was last published. */
  readonly self: Host;
  readonly cluster: Cluster;
  /** Every host that is known, this one too, by name. Never waits. */
  list(): readonly HostState[];
  /** The host with this id, or undefined. Never waits. */
  get(id: string): HostState | undefined;
  /** Begins with what is known and goes on with each change; a slow reader sees the last only. */
  watch(options: { signal: AbortSignal }): AsyncIterable<readonly HostState[]>;
  /** Has this in this host's record from now on, for all. Returns at once; may repeat. */
  amend(what: Partial<Pick<Host, 'mtu' | 'probed'>>): void;
  /** Stops following and publishing; withdraws nothing. May be called twice. */
  close(): Promise<void>;
}

export interface HostState {
  readonly host: Host;
  readonly state: 'alive' | 'lost';
  /** ISO time: now while it is alive, else when it was last seen alive by this host, if ever. */
  readonly lastSeen?: string;
}

/** What is wrong on the way between this host and another, and what to do about it. */
export interface PathProblem {
  readonly kind: 'carrier' | 'port' | 'silent' | 'nat' | 'mtu' | 'checksum' | 'clash';
  /** Id and name of the other host; none when it is this host alone. */
  readonly id?: string;
  readonly host?: string;
  /** Id of the network that alone has it. */
  readonly network?: string;
  readonly sentence: string;
  /** ISO time of when it was found. */
  readonly since: string;
}

export interface Paths {
  /** What is wrong now, by host. Never waits. */
  problems(): readonly PathProblem[];
  /** May be called twice. */
  close(): Promise<void>;
}
