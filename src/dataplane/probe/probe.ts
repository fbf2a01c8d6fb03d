/**
 * What gets through between this host and others, tried by packets of a tunnel of its own: encapsulated, let in by the
 * guard and routed as those of networks are, and seen by no container. Only hosts of the cluster get an answer, and never
 * more than they sent. It is gone with the daemon, and leaves nothing.
 */
export interface Probes {
  /** Hosts that are answered and can be probed: exactly these. May repeat. @throws KernelError */
  set(peers: readonly ProbePeer[]): Promise<void>;
  /** Tries the way to a host and back; takes a few milliseconds when all is well, else up to 4.5 s. */
  probe(host: string): Promise<Findings>;
  /** May be called twice. */
  close(): Promise<void>;
}

export interface ProbePeer {
  readonly host: string;
  /** Its data address. */
  readonly data: string;
  /** Of its data interface, in bytes. */
  readonly mtu: number;
}

export interface Findings {
  /** Whether any packet came back. */
  readonly answers: boolean;
  /** MTU of this host's route to the other, if the route says one. */
  readonly route?: number;
  /** What should pass: the smaller MTU of the two data interfaces, or what the route says. */
  readonly wanted: number;
  /** The largest packet that came back, encapsulation counted, of those that were tried. */
  readonly passed: number;
  /** Whether TCP carried what fills many such packets. */
  readonly stream: boolean;
  /** When nothing came back: from where the other's own probes come, if that is not its data address. */
  readonly source?: string;
}
