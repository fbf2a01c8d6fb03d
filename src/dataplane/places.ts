import { closeSync, lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ethtool } from '../kernel/ethtool.ts';
import { namespaceOfSocket } from '../kernel/inet-socket.ts';
import { isKernelError, KernelError } from '../kernel/kernel-error.ts';
import {
  bootId,
  inodeOf,
  type Namespaces,
  namespaceDevice,
  openNamespace,
  openNamespaces,
  openPinDirectory,
  pinnedInode,
  processesByNamespace,
} from '../kernel/namespace.ts';
import { type Netlink, openNetlink } from '../kernel/netlink/socket.ts';
import { type Nftables, openNftables } from '../kernel/nftables/nftables.ts';
import { NETLINK_NETFILTER } from '../kernel/nftables/notification.ts';
import { openProcfs, type Procfs } from '../kernel/procfs.ts';
import { links } from '../kernel/route/links.ts';
import type { Syscalls } from '../kernel/syscall.ts';
import { Refusal } from '../lib/errors.ts';
import type { Adopted } from './dataplane.ts';
import { HOST, isNetworkNamespace } from './objects.ts';

/** Sandboxes are kept open only so many at a time; nftables contexts cost 130 kB each. */
const MAX_OPEN = 256;
const MAX_NFT = 8;
/** Namespaces that were adopted and are not pinned yet. */
const MAX_ADOPTED = 256;

/** The namespaces of this host by the names that they are pinned under, what is open in them, and their links' indexes. */
export class Places {
  readonly #sys: Syscalls;
  readonly #namespaces: Namespaces;
  readonly #directory: string;
  /** Where iproute2 looks: `ip netns` sees ours by symbolic links. */
  readonly #ipNetns: string;
  /** Least recently used first. */
  readonly #open = new Map<string, Place>();
  readonly #nft = new Map<string, Nftables>();
  /** Open namespaces by inode, the oldest first, until they are pinned. */
  readonly #adopted = new Map<string, number>();
  /** What is pinned, by name, unless hands have taken it away meanwhile. */
  #known = new Map<string, string>();
  /** Inodes of what is pinned. */
  #pinned = new Set<string>();
  /** Whether this kernel can redirect frames, until it turns out that it cannot. */
  canRedirect = true;

  constructor(sys: Syscalls, { directory, ipNetns }: { readonly directory: string; readonly ipNetns: string }) {
    this.#sys = sys;
    this.#directory = directory;
    this.#ipNetns = ipNetns;
    openPinDirectory(sys, directory);
    mkdirSync(ipNetns, { recursive: true, mode: 0o755 });
    this.#namespaces = openNamespaces(sys);
  }

  /** @throws KernelError ENOENT when nothing is pinned under that name */
  fd(namespace: string): number {
    return this.#place(namespace).fd;
  }

  netlink(namespace: string): Netlink {
    const place = this.#place(namespace);
    place.netlink ??= this.inside(namespace, () => openNetlink(this.#sys));
    return place.netlink;
  }

  /** For what is not worth a context of libnftables. */
  netfilter(namespace: string): Netlink {
    const place = this.#place(namespace);
    place.netfilter ??= this.inside(namespace, () => openNetlink(this.#sys, { family: NETLINK_NETFILTER }));
    return place.netfilter;
  }

  nft(namespace: string): Nftables {
    const known = this.#nft.get(namespace);
    const nft = known ?? this.inside(namespace, () => openNftables(this.#sys));
    this.#nft.delete(namespace);
    this.#nft.set(namespace, nft);
    for (const [name, oldest] of this.#nft) {
      if (this.#nft.size <= MAX_NFT) break;
      oldest.close();
      this.#nft.delete(name);
    }
    return nft;
  }

  inside<T>(namespace: string, work: () => T): T {
    return namespace === HOST ? work() : this.#namespaces.inside(this.fd(namespace), work);
  }

  /** To read settings in many namespaces. */
  openProcfs(): Procfs {
    return openProcfs(this.#sys);
  }

  gro(namespace: string, link: string): boolean {
    return this.inside(namespace, () => ethtool.gro(this.#sys, link));
  }

  setGro(namespace: string, link: string, on: boolean): void {
    this.inside(namespace, () => ethtool.setGro(this.#sys, link, on));
  }

  /** @throws KernelError ENODEV */
  index(namespace: string, link: string): number {
    const { indexes } = this.#place(namespace);
    const index = indexes.get(link) ?? links.get(this.netlink(namespace), link)?.index;
    if (index === undefined) throw new KernelError(`find link ${link} in namespace ${namespace}`, 'ENODEV');
    indexes.set(link, index);
    return index;
  }

  learnIndex(namespace: string, link: string, index: number): void {
    this.#place(namespace).indexes.set(link, index);
  }

  /** Of a link that was seen. */
  nameOf(namespace: string, index: number): string | undefined {
    for (const [name, known] of this.#open.get(namespace)?.indexes ?? []) if (known === index) return name;
    return undefined;
  }

  forgetIndex(namespace: string, link: string): void {
    this.#open.get(namespace)?.indexes.delete(link);
  }

  /**
   * Every pinned namespace with its inode. What was pinned anew under a known name is opened anew; what lost its pin and
   * still exists, because we have it open, a socket of it is held or a process is in it, is pinned again, and `again` is told.
   */
  pinned(
    again: (name: string) => void = () => {},
    held: ReadonlyMap<string, HeldNamespace> = new Map(),
  ): ReadonlyMap<string, string> {
    const pins = new Map<string, string>();
    const device = namespaceDevice();
    const seen = new Map(readdirSync(this.#ipNetns, { withFileTypes: true }).map((entry) => [entry.name, entry]));
    for (const name of readdirSync(this.#directory)) {
      const inode = pinnedInode(this.#path(name), device);
      // What a crash left between making the file and mounting on it.
      if (inode === undefined) rmSync(this.#path(name), { force: true });
      else {
        pins.set(name, inode);
        if (!seen.has(name)) this.#link(name);
      }
    }
    const heldInodes = [...held].map(([name, { inode }]) => [name, inode] as const);
    const lost = [...new Map([...heldInodes, ...this.#known])].filter(([name]) => !pins.has(name));
    const processes = lost.length === 0 ? undefined : processesByNamespace();
    for (const [name, inode] of lost) {
      if (!this.#pinAgain(name, { inode, pid: processes?.get(inode), socket: held.get(name)?.socket })) continue;
      pins.set(name, inode);
      again(name);
    }
    this.#known = new Map(pins);
    this.#pinned = new Set(pins.values());
    for (const [name, entry] of seen) {
      if (entry.isSymbolicLink() && !pins.has(name) && this.#isOurLink(name))
        rmSync(join(this.#ipNetns, name), { force: true });
    }
    for (const [name, place] of this.#open) {
      if (name !== HOST && inodeOf(place.fd) !== pins.get(name)) this.#close(name);
      else place.indexes.clear();
    }
    return pins;
  }

  #pinAgain(name: string, { inode, pid, socket }: Lost): boolean {
    const open = this.#open.get(name);
    const source = open && inodeOf(open.fd) === inode ? `/proc/thread-self/fd/${open.fd}` : `/proc/${pid}/ns/net`;
    try {
      const fd = socket === undefined ? openNamespace(source) : namespaceOfSocket(this.#sys, socket);
      try {
        if (inodeOf(fd) !== inode) return false;
        this.#namespaces.pin(fd, this.#path(name));
        this.#link(name);
        return true;
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      // It is gone, with its last process.
      if (isKernelError(error, 'ENOENT', 'ESRCH')) return false;
      throw error;
    }
  }

  /** Pins a new namespace, or the adopted one with this inode. @throws KernelError */
  make(namespace: string, inode?: string): void {
    const path = this.#path(namespace);
    this.#close(namespace);
    if (inode === undefined) {
      const fd = this.#namespaces.make(path);
      this.#pinned.add(inodeOf(fd));
      this.#known.set(namespace, inodeOf(fd));
      this.#opened(namespace, fd);
    } else {
      const fd = this.#adopted.get(inode);
      if (fd === undefined) {
        throw new KernelError(`pin namespace ${inode} as ${namespace}`, 'ENOENT', { detail: 'it was not adopted' });
      }
      this.#namespaces.pin(fd, path);
      this.#pinned.add(inode);
      this.#known.set(namespace, inode);
      this.#adopted.delete(inode);
      this.#opened(namespace, fd);
    }
    this.#link(namespace);
  }

  unpin(namespace: string): void {
    const inode = pinnedInode(this.#path(namespace));
    if (inode !== undefined) this.#pinned.delete(inode);
    this.#known.delete(namespace);
    this.#close(namespace);
    this.#namespaces.unpin(this.#path(namespace));
    if (this.#isOurLink(namespace)) rmSync(join(this.#ipNetns, namespace), { force: true });
  }

  adopt(source: { readonly path: string } | { readonly pid: number }): Adopted {
    const path = 'pid' in source ? `/proc/${source.pid}/ns/net` : source.path;
    const refuse = (why: string, cause?: unknown) => new Refusal('invalid', `cannot adopt ${path}: ${why}`, { cause });
    let fd: number;
    try {
      fd = openNamespace(path);
    } catch (cause) {
      throw refuse('there is no network namespace', cause);
    }
    try {
      this.#namespaces.inside(fd, () => {});
      const inode = inodeOf(fd);
      if (inode === inodeOf(this.fd(HOST))) throw refuse("it is this host's own network namespace");
      const pinned = this.#pinned.has(inode);
      if (pinned) closeSync(fd);
      else this.#await(inode, fd);
      return { bootId: bootId(), inode, pinned };
    } catch (cause) {
      closeSync(fd);
      if (cause instanceof Refusal) throw cause;
      throw refuse('it is no network namespace', cause);
    }
  }

  /** Until it is pinned, which is soon or never: one that is pinned already need not be kept, nor the oldest of many. */
  #await(inode: string, fd: number): void {
    this.#drop(inode);
    this.#adopted.set(inode, fd);
    const [oldest] = this.#adopted.keys();
    if (this.#adopted.size > MAX_ADOPTED && oldest !== undefined) this.#drop(oldest);
  }

  #drop(inode: string): void {
    const fd = this.#adopted.get(inode);
    if (fd !== undefined) closeSync(fd);
    this.#adopted.delete(inode);
  }

  close(): void {
    for (const name of [...this.#open.keys()]) this.#close(name);
    for (const fd of this.#adopted.values()) closeSync(fd);
    this.#adopted.clear();
    this.#namespaces.close();
  }

  #path(namespace: string): string {
    return join(this.#directory, namespace);
  }

  #place(namespace: string): Place {
    const place = this.#open.get(namespace) ?? this.#openPlace(namespace);
    this.#open.delete(namespace);
    this.#open.set(namespace, place);
    return place;
  }

  #openPlace(namespace: string): Place {
    const path = namespace === HOST ? '/proc/thread-self/ns/net' : this.#path(namespace);
    return this.#opened(namespace, openNamespace(path));
  }

  #opened(namespace: string, fd: number): Place {
    for (const name of this.#open.keys()) {
      if (this.#open.size < MAX_OPEN) break;
      if (name !== HOST && !isNetworkNamespace(name)) this.#close(name);
    }
    const place: Place = { fd, indexes: new Map() };
    this.#open.set(namespace, place);
    return place;
  }

  /** Also what would keep the namespace alive: a socket belongs to it. */
  #close(namespace: string): void {
    this.#nft.get(namespace)?.close();
    this.#nft.delete(namespace);
    const place = this.#open.get(namespace);
    place?.netlink?.close();
    place?.netfilter?.close();
    if (place) closeSync(place.fd);
    this.#open.delete(namespace);
  }

  #link(namespace: string): void {
    const link = join(this.#ipNetns, namespace);
    if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(this.#path(namespace), link);
  }

  #isOurLink(namespace: string): boolean {
    const link = join(this.#ipNetns, namespace);
    const isLink = lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
    return isLink && readlinkSync(link) === this.#path(namespace);
  }
}

/** A namespace of which a socket is open. */
export interface HeldNamespace {
  readonly inode: string;
  readonly socket: number;
}

/** What may lead to a namespace that is pinned no more. */
interface Lost {
  readonly inode: string;
  /** Of a process in it. */
  readonly pid: number | undefined;
  readonly socket: number | undefined;
}

interface Place {
  readonly fd: number;
  netlink?: Netlink;
  netfilter?: Netlink;
  readonly indexes: Map<string, number>;
}
