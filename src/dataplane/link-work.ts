import { isKernelError, KernelError } from '../kernel/kernel-error.ts';
import { links } from '../kernel/route/links.ts';
import { type BridgeLink, DEAD_GROUP, HOST, type StrayLink, type VethLink, type VxlanLink } from './objects.ts';
import type { Places } from './places.ts';
import type { Step } from './plan.ts';

type LinkObject = BridgeLink | VxlanLink | VethLink | StrayLink;

/**
 * Makes, changes and removes links. Deleting a veth makes the kernel wait for its readers (19 ms), a group all at once: so
 * a link is cut off first (down, out of its bridge, out of the way by name: 0.5 ms) and deleted with others later, by
 * `sweep`. Moving it to another namespace would take as long as deleting it.
 */
export class LinkWork {
  readonly #places: Places;
  /** Namespaces with cut links. */
  readonly #dead = new Set<string>();

  constructor(places: Places) {
    this.#places = places;
  }

  /** `leaving` are namespaces that go anyway. @throws KernelError */
  apply(step: Step & { readonly object: LinkObject }, leaving: ReadonlySet<string>): void {
    const { object } = step;
    if (object.kind === 'stray') this.#cut(object.namespace, object.name);
    else if (object.kind === 'veth') {
      if (step.do === 'remove') this.#cutVeth(object, leaving);
      else if (step.do === 'add') this.#addVeth(object);
      else this.#changeVeth(object);
    } else if (step.do === 'remove') this.#remove(object);
    else {
      if (step.do === 'add') this.#add(object);
      this.#set(object);
    }
  }

  get hasDead(): boolean {
    return this.#dead.size > 0;
  }

  /** That this namespace holds cut links of an earlier life. */
  foundDead(namespace: string): void {
    this.#dead.add(namespace);
  }

  /** Deletes what was cut off. Waits for the kernel's readers. */
  sweep(): void {
    for (const namespace of this.#dead) {
      this.#dead.delete(namespace);
      try {
        links.removeGroup(this.#places.netlink(namespace), DEAD_GROUP);
      } catch (error) {
        // The namespace is gone, and with it what was in it.
        if (!isKernelError(error, 'ENOENT')) throw error;
      }
    }
  }

  /**
   * Deletes all links of a namespace before it goes: a vxlan device that goes with it goes later, and till then its VNI
   * could not be used again.
   */
  clear(namespace: string): void {
    const nl = this.#places.netlink(namespace);
    const all = links.list(nl).filter((link) => link.name !== 'lo');
    nl.requests(all.flatMap((link) => links.setMessages(link.index, { group: DEAD_GROUP })));
    if (all.length > 0) links.removeGroup(nl, DEAD_GROUP);
    this.#dead.delete(namespace);
  }

  #add(object: BridgeLink | VxlanLink): void {
    const { namespace, name } = object;
    const { mac: address, mtu } = object.spec;
    if (object.kind === 'bridge') {
      const info = { kind: 'bridge', bridge: { mcastSnooping: false, stpState: 0 } } as const;
      links.add(this.#places.netlink(namespace), { name, address, mtu, info });
      return;
    }
    // Made from the host, where its packets stay, and never visible there.
    const { id, local, port } = object.spec;
    const info = { kind: 'vxlan', vxlan: { id, local, port, learning: false, proxy: true } } as const;
    links.add(this.#places.netlink(HOST), { name, address, mtu, info, netnsFd: this.#places.fd(namespace) });
  }

  #set(object: BridgeLink | VxlanLink): void {
    const { namespace, name, spec } = object;
    const index = this.#places.index(namespace, name);
    const { mac: address, mtu } = spec;
    const port =
      object.kind === 'vxlan'
        ? { master: this.#places.index(namespace, object.spec.master), bridgePort: object.spec.flags }
        : {};
    links.set(this.#places.netlink(namespace), index, { address, mtu, ...port });
    if (object.kind === 'vxlan') this.#places.setGro(namespace, name, object.spec.gro);
  }

  #remove({ namespace, name }: BridgeLink | VxlanLink): void {
    try {
      links.remove(this.#places.netlink(namespace), this.#places.index(namespace, name));
    } catch (error) {
      if (!isKernelError(error, 'ENODEV')) throw error;
    }
    this.#places.forgetIndex(namespace, name);
  }

  #addVeth({ namespace, name, spec }: VethLink): void {
    const { mac: address, mtu, master, flags: bridgePort, peer } = spec;
    if (peer === undefined) throw new KernelError(`add link ${name}`, 'EINVAL', { detail: 'it has no other end' });
    const netnsFd = this.#places.fd(peer.namespace);
    const end = { name: peer.name, address: peer.mac, mtu: peer.mtu, queues: 1, netnsFd };
    const nl = this.#places.netlink(namespace);
    const info = { kind: 'veth', peer: end } as const;
    try {
      const bridge = this.#places.index(namespace, master);
      const made = links.addVeth(nl, { name, address, mtu, queues: 1, master: bridge, info });
      this.#places.learnIndex(namespace, name, made.index);
      this.#places.learnIndex(peer.namespace, peer.name, made.peer);
    } catch (cause) {
      if (!(cause instanceof KernelError)) throw cause;
      // Either end can be what is wrong.
      const action = `add link ${name} in ${namespace} with its end ${peer.name} in ${peer.namespace}`;
      throw new KernelError(action, cause.code, { cause });
    }
    links.set(nl, this.#places.index(namespace, name), { bridgePort });
  }

  #changeVeth({ namespace, name, spec }: VethLink): void {
    const { mac: address, mtu, flags: bridgePort, peer } = spec;
    const master = this.#places.index(namespace, spec.master);
    links.set(this.#places.netlink(namespace), this.#places.index(namespace, name), {
      address,
      mtu,
      master,
      bridgePort,
    });
    if (peer === undefined) return;
    const index = this.#places.index(peer.namespace, peer.name);
    links.set(this.#places.netlink(peer.namespace), index, { address: peer.mac, mtu: peer.mtu });
  }

  #cutVeth({ namespace, name, spec }: VethLink, leaving: ReadonlySet<string>): void {
    this.#cut(namespace, name);
    if (spec.peer && !leaving.has(spec.peer.namespace)) this.#cut(spec.peer.namespace, spec.peer.name);
  }

  #cut(namespace: string, name: string): void {
    try {
      const nl = this.#places.netlink(namespace);
      const index = this.#places.index(namespace, name);
      links.set(nl, index, { up: false });
      links.set(nl, index, { name: `dead-${index}`, master: 0, group: DEAD_GROUP });
      this.#dead.add(namespace);
    } catch (error) {
      // Gone already, the link or its namespace.
      if (!isKernelError(error, 'ENODEV', 'ENOENT')) throw error;
    }
    this.#places.forgetIndex(namespace, name);
  }
}
