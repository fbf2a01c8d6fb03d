import { hostIdOf } from '../../../model/host-key.ts';
import { type Genesis as Begun, mostWaiting } from '../beginning.ts';
import type { Seal } from '../environment.ts';
import type { Signer } from '../signing.ts';
import { clusterIdOf, type Genesis } from '../trust/genesis.ts';
import { type Cluster, charterOf, parseCharter, type Shown, type ToAdmit } from './charter.ts';

/** A cluster that this host was shown, or founded. */
export interface Known {
  readonly cluster: Cluster;
  /** As `Beginning` speaks of it. */
  readonly begun: Begun;
  /** Whether it lets this host in, and by this token. */
  readonly admits: boolean;
  /** Whom it lets in, by id. */
  readonly hosts: ReadonlyMap<string, ToAdmit>;
  /** Of the founder's sheet. */
  readonly n: number;
}

const mostKept = 8;

export interface ChartersNeeds {
  readonly self: string;
  readonly seal: Seal;
  /** Of the token. */
  readonly token: Signer;
}

/** The clusters that this host could belong to: it joins none by hearsay. Those that nobody looks at are forgotten first. */
export class Charters {
  readonly #needs: ChartersNeeds;
  readonly #known = new Map<string, Known>();

  constructor(needs: ChartersNeeds) {
    this.#needs = needs;
  }

  get(id: string): Known | undefined {
    const known = this.#known.get(id);
    return known && this.#put(known);
  }

  /** Keeps what was shown, unless what is known lets this host in and this does not. @throws ParseError */
  keep(shown: Shown): Known {
    const { self, seal, token } = this.#needs;
    const { cluster, trust, n } = parseCharter(shown, seal);
    const admits = trust.hosts.get(self)?.key === seal.key && trust.token?.key === token.key;
    const hosts = new Map([...trust.hosts].map(([id, { key, name }]) => [id, { key, name: name ?? id }]));
    const known = { cluster, admits, hosts, n, begun: begunBy(cluster.genesis) };
    const before = this.#known.get(trust.cluster);
    return before !== undefined && (before.begun.founder === self || before.admits > admits)
      ? before
      : this.#put(known);
  }

  /** Makes the next charter of a cluster of this host's own, which lets in these too. */
  write(genesis: Genesis, hosts: ReadonlyMap<string, ToAdmit>): Known {
    const before = this.#known.get(clusterIdOf(genesis));
    const all = new Map([...(before?.hosts ?? []), ...hosts]);
    const n = (before?.n ?? 0) + 1;
    const cluster = charterOf(genesis, { ...this.#needs, n, hosts: all.values() });
    return this.#put({ cluster, admits: true, hosts: all, n, begun: begunBy(genesis) });
  }

  #put(known: Known): Known {
    const { id } = known.begun;
    this.#known.delete(id);
    this.#known.set(id, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > mostKept && oldest !== undefined) this.#known.delete(oldest);
    return known;
  }
}

/** What `Beginning` has to know of a cluster. */
function begunBy(genesis: Genesis): Begun {
  const founder = hostIdOf(genesis.founder);
  return { id: clusterIdOf(genesis), founder, view: (genesis.view ?? [founder]).slice(0, mostWaiting) };
}
