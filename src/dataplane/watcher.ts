import { KernelError } from '../kernel/kernel-error.ts';
import { type Notifications, openNotifications, type Reply } from '../kernel/netlink/socket.ts';
import {
  decodeRuleChange,
  NETLINK_NETFILTER,
  NFNLGRP_NFTABLES,
  type RuleChange,
} from '../kernel/nftables/notification.ts';
import { IFF } from '../kernel/route/link.ts';
import { decodeLinkIndex, decodeNotification, type Notification } from '../kernel/route/notification.ts';
import { RT_SCOPE } from '../kernel/route/routes.ts';
import { RTNLGRP } from '../kernel/route/rtnetlink.ts';
import type { Syscalls } from '../kernel/syscall.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { isHostInterface } from '../model/network.ts';
import { TABLE } from './nft.ts';
import { HOST } from './objects.ts';
import type { Reconciler } from './reconciler.ts';

/** News come in bursts; and who fights us over something shall not have all of this thread's time. */
const SETTLE_MS = 30;
const REST_FACTOR = 20;
const FOUGHT_REST_MS = 8_000;
const MANY = 1000;

/**
 * Hears when someone takes away what is ours, in the host's and the networks' namespaces, and has it put right. It is told
 * of our own doing too: the kernel tells at once, so what is there right after a call of ours is dropped. Should someone
 * else's doing be among it, or happen in a sandbox, the regular `repair` finds it.
 */
export class Watcher {
  readonly #sys: Syscalls;
  readonly #reconciler: Reconciler;
  readonly #log: Log;
  readonly #onForeign: () => void;
  readonly #onHost: () => void;
  readonly #watches = new Map<string, Watch>();
  /** When to look, in the clock of `performance.now`. */
  #due = Infinity;
  #notBefore = 0;
  /** Whether all that is to be looked at are packet rules. */
  #isRulesAlone = true;

  constructor(sys: Syscalls, reconciler: Reconciler, { log, onForeign, onHost }: WatcherOptions) {
    this.#sys = sys;
    this.#reconciler = reconciler;
    this.#log = log;
    this.#onForeign = onForeign;
    this.#onHost = onHost;
    this.#follow();
  }

  get fds(): readonly number[] {
    return [...this.#watches.values()].flatMap(({ route, rules }) => [route.fd, rules.fd]);
  }

  /** Milliseconds until there is something to do. */
  get patience(): number {
    return Math.max(0, this.#due - performance.now());
  }

  /** After work of ours: what was told meanwhile is our own doing. */
  forget(): void {
    this.#follow();
    const ready = this.#sys.poll(this.fds, 0).values();
    for (const [namespace, { route, rules }] of this.#watches) {
      const [news, changes] = [route, rules].map((each) => (ready.next().value ? each.drain() : []));
      const told = [news ?? [], changes ?? []];
      if (namespace === HOST && changes !== undefined) this.#noteForeign(changes);
      if (namespace === HOST && news !== undefined) this.#noteHost(news);
      // To begin anew is cheaper than to read on.
      if (told.some((replies) => replies === 'lost' || replies.length >= MANY)) this.#stop(namespace);
    }
    this.#follow();
  }

  read(): void {
    for (const [namespace, { route, rules }] of this.#watches) {
      const [told, changes] = [route.drain(), rules.drain()];
      if (namespace === HOST) {
        this.#noteForeign(changes);
        this.#noteHost(told);
      }
      const isLost = told === 'lost' || told.some((reply) => this.#concerns(namespace, decodeNotification(reply)));
      const areRulesLost = changes === 'lost' || changes.some((reply) => isRemovalOfOurs(decodeRuleChange(reply)));
      this.#isRulesAlone &&= !isLost;
      if (isLost || areRulesLost)
        this.#due = Math.min(this.#due, Math.max(performance.now() + SETTLE_MS, this.#notBefore));
    }
  }

  /** `pause` is called now and then. */
  putRight(pause: () => void): void {
    if (performance.now() < this.#due) return;
    this.#due = Infinity;
    const start = performance.now();
    try {
      // What is told after the last reading began is the doing of others: it is read like all other news.
      this.#repair(pause, () => this.forget());
    } catch (error) {
      this.forget();
      throw error;
    } finally {
      const rest = this.#reconciler.isFought ? FOUGHT_REST_MS : REST_FACTOR * (performance.now() - start);
      this.#notBefore = performance.now() + Math.min(rest, FOUGHT_REST_MS);
    }
  }

  #repair(pause: () => void, reading: () => void): void {
    const isRulesAlone = this.#isRulesAlone;
    this.#isRulesAlone = true;
    if (isRulesAlone) {
      try {
        this.#reconciler.repairRules(pause, reading);
        return;
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        this.#log.debug('more than rules differs', { error: messageOf(error) });
      }
    }
    this.#reconciler.repair(pause, reading);
  }

  close(): void {
    for (const namespace of [...this.#watches.keys()]) this.#stop(namespace);
  }

  #noteForeign(changes: readonly Reply[] | 'lost'): void {
    const isForeign = (reply: Reply) => (decodeRuleChange(reply)?.table ?? TABLE) !== TABLE;
    if (changes === 'lost' || changes.some(isForeign)) this.#onForeign();
  }

  #noteHost(told: readonly Reply[] | 'lost'): void {
    // What others' rules have to let through is another when the host itself joins or leaves a network.
    if (told === 'lost' || told.some((reply) => isExposed(decodeNotification(reply)))) this.#onForeign();
    if (told === 'lost' || told.some((reply) => this.#isOfHost(reply))) this.#onHost();
  }

  /** Whether it is about the interface that carries the underlay, or about an address that may make another one that. */
  #isOfHost(reply: Reply): boolean {
    const index = decodeLinkIndex(reply);
    if (index !== undefined) return this.#reconciler.isCarrier(index);
    const news = decodeNotification(reply);
    return news?.kind === 'address' && news.address.scope === RT_SCOPE.UNIVERSE;
  }

  /** Whether it takes something away that we know to be there. */
  #concerns(namespace: string, news: Notification | undefined): boolean {
    const has = (key: string) => this.#reconciler.has(`${namespace} ${key}`);
    const name = (index: number) => this.#reconciler.places.nameOf(namespace, index) ?? '';
    switch (news?.kind) {
      case undefined:
      case 'route':
        return false;
      case 'link': {
        const { link, gone } = news;
        if (gone) return has(`link ${link.name}`);
        // Without its lower end: the other one, in a sandbox, was set down.
        const isWhole =
          (link.flags & IFF.UP) !== 0 && (link.info?.kind !== 'veth' || (link.flags & IFF.LOWER_UP) !== 0);
        return !isWhole && has(`up ${link.name}`);
      }
      case 'port':
        return news.gone && has(`link ${news.link.name}`);
      case 'address':
        return news.gone && has(`address ${name(news.address.index)} ${news.address.address}`);
      case 'neighbour':
        return news.gone && has(`neighbour ${name(news.neighbour.index)} ${news.neighbour.address}`);
      case 'tc':
        return news.gone && has(`ingress ${name(news.index)}`);
      case 'fdb': {
        const { gone, entry } = news;
        return gone && (has(`vxlan-fdb ${name(entry.index)} ${entry.mac}`) || has(`bridge-fdb br0 ${entry.mac}`));
      }
    }
  }

  /** Namespaces come and go with networks. */
  #follow(): void {
    const wanted = new Set([HOST, ...this.#reconciler.networks]);
    for (const namespace of [...this.#watches.keys()]) if (!wanted.has(namespace)) this.#stop(namespace);
    for (const namespace of wanted) {
      if (this.#watches.has(namespace)) continue;
      try {
        this.#watches.set(namespace, this.#start(namespace));
      } catch (error) {
        this.#log.debug('namespace cannot be watched', { namespace, error: messageOf(error) });
      }
    }
  }

  #start(namespace: string): Watch {
    return this.#reconciler.places.inside(namespace, () => {
      const groups = [RTNLGRP.LINK, RTNLGRP.NEIGH, RTNLGRP.TC, RTNLGRP.IPV4_IFADDR, RTNLGRP.IPV6_IFADDR];
      const route = openNotifications(this.#sys, groups);
      const rules = openNotifications(this.#sys, [NFNLGRP_NFTABLES], { family: NETLINK_NETFILTER });
      return { route, rules };
    });
  }

  /** A socket keeps its namespace alive. */
  #stop(namespace: string): void {
    const watch = this.#watches.get(namespace);
    watch?.route.close();
    watch?.rules.close();
    this.#watches.delete(namespace);
  }
}

function isExposed(news: Notification | undefined): boolean {
  return news?.kind === 'link' && isHostInterface(news.link.name);
}

function isRemovalOfOurs(change: RuleChange | undefined): boolean {
  return change?.removed === true && change.table === TABLE;
}

interface WatcherOptions {
  readonly log: Log;
  /** Told of changes of others' rules in the host's namespace. */
  readonly onForeign: () => void;
  /** Told when the interface that carries the underlay, or an address of the host, was changed. */
  readonly onHost: () => void;
}

interface Watch {
  readonly route: Notifications;
  readonly rules: Notifications;
}
