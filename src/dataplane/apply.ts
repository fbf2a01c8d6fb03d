import { isKernelError, KernelError } from '../kernel/kernel-error.ts';
import type { Request } from '../kernel/netlink/socket.ts';
import { addresses, IFA_F } from '../kernel/route/addresses.ts';
import { links } from '../kernel/route/links.ts';
import { fdb, neighbours } from '../kernel/route/neighbours.ts';
import { routes } from '../kernel/route/routes.ts';
import { sysctls } from '../kernel/sysctl.ts';
import type { HostSettings } from './host-settings.ts';
import { ruleCommands } from './nft.ts';
import {
  DEAD_GROUP,
  type DefaultRoute,
  HOST,
  isNetworkNamespace,
  type KernelObject,
  type VethLink,
} from './objects.ts';
import type { Places } from './places.ts';
import { formatStep, type Step, stage } from './plan.ts';

/**
 * Works steps off, in order. Deleting a veth makes the kernel wait for its readers (19 ms), a group all at once: so a link
 * is cut off first (down, out of its bridge, out of the way by name: 0.5 ms) and deleted with others later, by `sweep`.
 * Moving it to another namespace costs as much as deleting it.
 */
export class Applier {
  readonly #places: Places;
  readonly #settings: HostSettings;
  /** Namespaces with cut links. */
  readonly #dead = new Set<string>();

  constructor(places: Places, settings: HostSettings) {
    this.#places = places;
    this.#settings = settings;
  }

  /** Tells `done` each step as it is done; stops at the first that fails. @throws KernelError */
  apply(steps: readonly Step[], done: (step: Step) => void): void {
    const leaving = new Set(steps.filter((s) => s.do === 'remove' && s.object.kind === 'netns').map(nameOf));
    for (const batch of batchesOf(steps)) {
      const [first] = batch;
      if (first === undefined) continue;
      const { namespace, kind } = first.object;
      if (kind.startsWith('nft-')) {
        this.#places.nft(namespace).run(`set the rules of namespace ${namespace}`, ruleCommands(batch));
        batch.forEach(done);
      } else if (isEntry(first.object)) this.#request(namespace, batch, done);
      else {
        this.#single(first, leaving);
        done(first);
      }
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

  #request(namespace: string, batch: readonly Step[], done: (step: Step) => void): void {
    const requests = batch.map((step) => requestsOf(this.#places, step));
    const errors = this.#places.netlink(namespace).requests(requests.flat());
    let at = 0;
    let failure: KernelError | undefined;
    batch.forEach((step, i) => {
      const own = errors.slice(at, (at += requests[i]?.length ?? 0));
      const error = own.find((e) => e !== undefined && !(step.do === 'remove' && isAbsence(e)));
      if (error) failure ??= new KernelError(`${formatStep(step)}: ${error.message}`, error.code, { cause: error });
      else done(step);
    });
    if (failure) throw failure;
  }

  #single(step: Step, leaving: ReadonlySet<string>): void {
    const { object } = step;
    switch (object.kind) {
      case 'netns':
        if (step.do === 'remove') this.#removeNetns(object.name);
        else this.#places.make(object.name, object.spec.inode);
        return;
      case 'sysctl':
        if (object.namespace !== HOST || object.parent !== undefined) {
          if (step.do !== 'remove') {
            this.#places.inside(object.namespace, () => sysctls.set(object.path, object.spec.value));
          }
        } else if (step.do === 'remove') this.#settings.restore(object.path);
        else this.#settings.set(object.path, object.spec.value);
        return;
      case 'veth':
        if (step.do === 'remove') this.#cutVeth(object, leaving);
        else if (step.do === 'add') this.#addVeth(object);
        else this.#changeVeth(object);
        return;
      case 'stray':
        return this.#cut(object.namespace, object.name);
      case 'bridge':
      case 'vxlan':
        if (step.do === 'remove') return this.#removeLink(object);
        if (step.do === 'add') this.#addLink(object);
        return this.#setLink(object);
      default:
        throw new KernelError(formatStep(step), 'EOPNOTSUPP');
    }
  }

  #addLink(object: Extract<KernelObject, { kind: 'bridge' | 'vxlan' }>): void {
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

  #setLink(object: Extract<KernelObject, { kind: 'bridge' | 'vxlan' }>): void {
    const { namespace, name, spec } = object;
    const index = this.#places.index(namespace, name);
    const { mac: address, mtu } = spec;
    const port =
      object.kind === 'vxlan'
        ? { master: this.#places.index(namespace, object.spec.master), bridgePort: object.spec.flags }
        : {};
    links.set(this.#places.netlink(namespace), index, { address, mtu, ...port });
  }

  #removeLink({ namespace, name }: Extract<KernelObject, { kind: 'bridge' | 'vxlan' }>): void {
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
    const end = { name: peer.name, address: peer.mac, mtu: peer.mtu, netnsFd };
    const nl = this.#places.netlink(namespace);
    const info = { kind: 'veth', peer: end } as const;
    links.add(nl, { name, address, mtu, master: this.#places.index(namespace, master), info });
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

  /** Links first: a vxlan device that goes with its namespace goes later, and its VNI could not be used again till then. */
  #removeNetns(name: string): void {
    if (isNetworkNamespace(name)) {
      const nl = this.#places.netlink(name);
      const all = links.list(nl).filter((link) => link.name !== 'lo');
      nl.requests(all.flatMap((link) => links.setMessages(link.index, { group: DEAD_GROUP })));
      if (all.length > 0) links.removeGroup(nl, DEAD_GROUP);
    }
    this.#dead.delete(name);
    this.#places.unpin(name);
  }
}

function nameOf({ object }: Step): string {
  return object.kind === 'netns' ? object.name : '';
}

type Entry = Extract<KernelObject, { kind: 'address' | 'neighbour' | 'vxlan-fdb' | 'bridge-fdb' | 'up' | 'route' }>;

function isEntry(object: KernelObject): object is Entry {
  return ['address', 'neighbour', 'vxlan-fdb', 'bridge-fdb', 'up', 'route'].includes(object.kind);
}

/** What can be sent or said at once: entries of one namespace, rules of one namespace. */
function batchesOf(steps: readonly Step[]): Step[][] {
  const batches: Step[][] = [];
  for (const step of steps) {
    const batch = batches.at(-1);
    const [first] = batch ?? [];
    const together =
      first !== undefined &&
      stage(first) === stage(step) &&
      first.object.namespace === step.object.namespace &&
      ((isEntry(first.object) && isEntry(step.object)) ||
        (first.object.kind.startsWith('nft-') && step.object.kind.startsWith('nft-')));
    if (batch && together) batch.push(step);
    else batches.push([step]);
  }
  return batches;
}

function requestsOf(places: Places, step: Step): Request[] {
  const { object } = step;
  if (!isEntry(object)) return [];
  const add = step.do !== 'remove';
  const index = (name: string) => places.index(object.namespace, name);
  switch (object.kind) {
    case 'address': {
      const address = { index: index(object.device), address: object.address, flags: IFA_F.NODAD };
      return [add ? addresses.addMessage(address) : addresses.removeMessage(address)];
    }
    case 'neighbour': {
      const entry = { index: index(object.device), address: object.address, mac: object.spec.mac };
      return [add ? neighbours.addMessage(entry) : neighbours.removeMessage(entry)];
    }
    case 'vxlan-fdb': {
      const entry = { index: index(object.device), mac: object.mac, dst: object.spec.via };
      return [add ? fdb.addMessage(entry) : fdb.removeMessage(entry)];
    }
    case 'bridge-fdb': {
      const entry = { index: index(object.spec.port), mac: object.mac };
      return [add ? fdb.addMessage(entry) : fdb.removeMessage(entry)];
    }
    case 'up':
      return links.setMessages(index(object.name), { up: add });
    case 'route': {
      const old =
        step.do === 'change' && step.from.kind === 'route' ? [routes.removeMessage(routeOf(step.from, index))] : [];
      const route = routeOf(object, index);
      return add ? [...old, routes.addMessage(route)] : [routes.removeMessage(route)];
    }
  }
}

function routeOf({ family, spec }: DefaultRoute, index: (name: string) => number) {
  return { dst: family === 4 ? '0.0.0.0/0' : '::/0', via: spec.via, oif: index(spec.device) };
}

function isAbsence(error: KernelError): boolean {
  return isKernelError(error, 'ENOENT', 'ESRCH', 'ENODEV', 'EADDRNOTAVAIL');
}
