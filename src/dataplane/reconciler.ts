import { KernelError } from '../kernel/kernel-error.ts';
import type { Syscalls } from '../kernel/syscall.ts';
import { messageOf } from '../lib/errors.ts';
import { Fights } from '../lib/fights.ts';
import type { Log } from '../lib/log.ts';
import { Applier } from './apply.ts';
import { type Carrier, type Change, keyOf, type Piece, type SocketChange } from './dataplane.ts';
import { dump, dumpRules } from './dump.ts';
import type { Underlay } from './guard/guard.ts';
import { HOLDER_SOCKET } from './holding.ts';
import { HostSettings, SETTINGS_FILE } from './host-settings.ts';
import { carrierOf } from './look.ts';
import { isRuleId } from './nft.ts';
import { ObjectMap } from './object-map.ts';
import { formatObject, idOf, isNetworkNamespace, type KernelObject, type ObjectId, same } from './objects.ts';
import { Pieces } from './pieces.ts';
import { Places } from './places.ts';
import { formatStep, plan, type Step } from './plan.ts';
import { Refused } from './refused.ts';
import { sentencesOf } from './sentences.ts';
import { Sockets } from './sockets.ts';

/** More rounds than this, and something else keeps undoing our work. */
const MAX_ROUNDS = 4;

export interface ReconcilerOptions {
  /** Where namespaces are pinned, below `netns`. */
  readonly run: string;
  /** Where `ip netns` looks. */
  readonly ipNetns: string;
  /** Where it is kept what the host's settings were. */
  readonly state: string;
  /** The program that keeps sockets over a restart; without it none is started. */
  readonly holder?: string;
  readonly log: Log;
}

/** Makes the kernel hold what pieces say. Synchronous: the thread that it runs in does nothing else. */
export class Reconciler {
  readonly places: Places;
  readonly #pieces = new Pieces();
  readonly #settings: HostSettings;
  readonly #sockets: Sockets;
  readonly #applier: Applier;
  readonly #log: Log;
  #actual = new ObjectMap();
  readonly #networks = new Set<string>();
  readonly #fights = new Fights();
  /** Namespaces that were pinned again, and are not told of yet. */
  readonly #again: string[] = [];
  /** By the last repair. */
  #refused: Refused | undefined;
  #carrierIndex: number | undefined;
  /** What was done something to since reading began, the last time. */
  #touched = new Set<ObjectId>();

  constructor(sys: Syscalls, { run, ipNetns, state, holder: program, log }: ReconcilerOptions) {
    this.places = new Places(sys, { directory: `${run}/netns`, ipNetns });
    this.#settings = new HostSettings(`${state}/${SETTINGS_FILE}`);
    this.#sockets = new Sockets(sys, this.places, {
      ...{ path: `${run}/${HOLDER_SOCKET}`, log },
      ...(program !== undefined && { program }),
    });
    this.#applier = new Applier(this.places, this.#settings, this.#sockets);
    this.#log = log;
  }

  set(pieces: readonly Piece[]): readonly string[] {
    const keys = new Set(pieces.map(keyOf));
    const remove = [...this.#pieces.keys()].filter((key) => !keys.has(key));
    const { undo } = this.#pieces.change({ put: this.#placed(pieces), remove });
    try {
      const done = this.#putRight();
      return [...this.#again.splice(0), ...done.map(formatStep)];
    } catch (error) {
      this.#pieces.change(undo);
      throw error;
    }
  }

  /**
   * Reads everything and puts right what differs, until nothing does but what the kernel refuses: that is logged. While it
   * reads it calls `pause` again and again: there a change may be made. Before it reads it calls `reading`: after the last
   * time, nothing is done any more.
   */
  repair(pause: () => void = () => {}, reading: () => void = () => {}): readonly string[] {
    const done = this.#putRight(pause, reading);
    this.#tell(done);
    return [...this.#again.splice(0), ...done.map(formatStep)];
  }

  /**
   * As `repair`, of packet rules alone: takes all else to be as it was heard of last.
   * @throws KernelError when that is not so, maybe: then `repair` finds out
   */
  repairRules(pause: () => void, reading: () => void): void {
    const done: Step[] = [];
    try {
      for (let round = 0; round < MAX_ROUNDS; round++) {
        reading();
        this.#readRules(pause);
        const steps = plan([...this.#ids()].filter(isRuleId), this.#pieces, this.#actual);
        if (steps.length === 0) return;
        this.#apply(steps, (step) => done.push(step));
      }
      throw undone(done);
    } finally {
      this.#tell(done);
    }
  }

  /** Whether there is an underlay, and with it the guard. */
  get isGuarded(): boolean {
    return this.#pieces.underlay.length > 0;
  }

  /** Whether something keeps undoing what is put right. */
  get isFought(): boolean {
    return this.#fights.isOn(performance.now());
  }

  /** Once for each that is fought over. */
  #tell(done: readonly Step[]): void {
    for (const name of this.#again)
      this.#log.warn('kernel state put right', { found: `${name} was missing; put right` });
    const now = performance.now();
    const fresh = done.filter((step) => {
      const id = idOf(step.object);
      const fight = this.#fights.note(id, now);
      if (fight === 'begun')
        this.#log.error('something keeps undoing what is put right: that is done seldom from now on', { object: id });
      return fight === 'none';
    });
    for (const found of sentencesOf(fresh)) this.#log.warn('kernel state put right', { found });
  }

  #putRight(pause: () => void = () => {}, reading: () => void = () => {}): readonly Step[] {
    const done: Step[] = [];
    const refused = new Refused();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      this.#pieces.change({ put: this.#placed(this.#pieces.underlay) });
      reading();
      this.#read(pause);
      const all = plan(this.#ids(), this.#pieces, this.#actual);
      const steps = all.filter(({ object }) => !refused.has(idOf(object)));
      if (steps.length === 0) {
        refused.tell(this.#log, this.#refused);
        this.#refused = refused;
        this.sweep();
        return done;
      }
      this.#applyAllowed(steps, refused, (step) => done.push(step));
    }
    throw undone(done);
  }

  change(change: Change): void {
    const { put = [], remove = [] } = change;
    const { touched, undo } = this.#pieces.change({ put: this.#placed(put), remove });
    try {
      this.#try(touched);
    } catch (error) {
      this.#takeBack(undo, touched);
      throw error;
    }
  }

  /** Whether the kernel held this when it was last heard of. */
  has(id: ObjectId): boolean {
    return this.#actual.get(id) !== undefined;
  }

  /** What carries the underlay now, if anything; undefined as long as there is no underlay. */
  carrier(): { readonly carrier: Carrier | undefined } | undefined {
    for (const piece of this.#pieces.underlay) {
      if (piece.kind !== 'underlay') continue;
      const found = carrierOf(this.places, piece.data);
      this.#carrierIndex = found?.index;
      return { carrier: found?.carrier };
    }
    return undefined;
  }

  /** Whether the link of the host with this index carried the underlay when it was looked at last. */
  isCarrier(index: number): boolean {
    return index === this.#carrierIndex;
  }

  /** Namespaces of networks that are there. */
  get networks(): ReadonlySet<string> {
    return this.#networks;
  }

  /** Whether links wait to be deleted. */
  get hasDead(): boolean {
    return this.#applier.links.hasDead;
  }

  /** Deletes links that were cut off. */
  sweep(): void {
    this.#applier.links.sweep();
  }

  /** What was last known to be there, one object a line, in order. */
  format(): string {
    return [...this.#actual.values()].map(formatObject).toSorted().join('\n');
  }

  /** What became of the sockets since the last time, if anything did. @throws KernelError */
  socketNews(): SocketChange | undefined {
    return this.#sockets.news(this.#pieces);
  }

  /** Why the sockets will not outlive this process, if they should. */
  get unheld(): string | undefined {
    return this.#sockets.unheld;
  }

  /** The next reading of the kernel makes news of these again. */
  unanswered(sockets: readonly string[]): void {
    this.#sockets.unanswered(sockets);
  }

  close(): void {
    this.#sockets.close();
    this.places.close();
  }

  /** An underlay's with the interface that has its address now. */
  #placed(pieces: readonly Piece[]): readonly Piece[] {
    return pieces.map((piece) => {
      if (piece.kind !== 'underlay') return piece;
      const device = carrierOf(this.places, piece.data)?.carrier.device;
      const placed: Underlay = {
        kind: piece.kind,
        data: piece.data,
        port: piece.port,
        ...(device !== undefined && { device }),
      };
      return placed;
    });
  }

  /** A failure may come of the kernel not being as it was remembered: it is read again, and tried once more. */
  #try(touched: ReadonlySet<ObjectId>): void {
    try {
      this.#applyWhole(plan(touched, this.#pieces, this.#actual));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#log.debug('kernel refused a step, reading it again', { error: messageOf(error) });
      this.#read();
      try {
        this.#applyWhole(plan(touched, this.#pieces, this.#actual));
      } catch (second) {
        throw second instanceof KernelError ? second.after(error) : second;
      }
    }
  }

  #takeBack(undo: Change, touched: ReadonlySet<ObjectId>): void {
    const ids = new Set([...this.#pieces.change(undo).touched, ...touched]);
    try {
      this.#read();
      this.#applyWhole(plan(ids, this.#pieces, this.#actual));
    } catch (error) {
      this.#log.error('taking back a failed change failed; repair will do it', { error: messageOf(error) });
    }
  }

  /** All or nothing; but no container goes without its network because names cannot be answered: `repair` tries those again. */
  #applyWhole(steps: readonly Step[]): void {
    const isOptional = (step: Step) => step.do !== 'remove' && step.object.kind === 'socket';
    const begin = steps.findIndex(isOptional);
    const end = steps.findLastIndex(isOptional) + 1;
    this.#apply(steps.slice(0, end === 0 ? undefined : begin));
    if (end === 0) return;
    this.#applyAllowed(steps.slice(begin, end), new Refused(), () => {});
    this.#apply(steps.slice(end));
  }

  #applyAllowed(steps: readonly Step[], refused: Refused, done: (step: Step) => void): void {
    const keyOfStep = (step: Step) => `${step.do} ${idOf(step.object)}`;
    for (let rest = steps; rest.length > 0; ) {
      const finished = new Set<string>();
      try {
        this.#apply(rest, (step) => {
          finished.add(keyOfStep(step));
          done(step);
        });
        return;
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        const left = rest.filter((step) => !finished.has(keyOfStep(step)));
        rest = refused.without(left, error);
      }
    }
  }

  #apply(steps: readonly Step[], done: (step: Step) => void = () => {}): void {
    this.#applier.apply(steps, (step) => {
      const id = idOf(step.object);
      const goes = step.do === 'remove' ? this.#actual.tree(id) : [];
      for (const each of [id, ...goes.map(idOf)]) this.#touched.add(each);
      for (const object of goes) this.#release(object);
      if (step.do !== 'remove') this.#hold(step.object);
      done(step);
    });
  }

  #hold(object: KernelObject): void {
    this.#actual.set(object);
    if (object.kind === 'netns' && isNetworkNamespace(object.name)) this.#networks.add(object.name);
  }

  #release(object: KernelObject): void {
    this.#actual.delete(idOf(object));
    if (object.kind === 'netns') this.#networks.delete(object.name);
  }

  /** Of all that should be, and of all that is there. */
  *#ids(): Generator<ObjectId> {
    yield* this.#pieces.ids();
    for (const id of this.#actual.ids()) if (this.#pieces.get(id) === undefined) yield id;
  }

  /** What was read, in one value with what should be, where there are thousands that hold no more than that. */
  #holdRead(object: KernelObject, wanted: KernelObject | undefined): void {
    const isOne = wanted !== undefined && isShared(object) && same(wanted, object);
    this.#hold(isOne ? wanted : object);
  }

  #read(pause: () => void = () => {}): void {
    const touched = new Set<ObjectId>();
    this.#touched = touched;
    const desired = new Map<string, KernelObject>();
    for (const id of this.#pieces.ids()) {
      const object = this.#pieces.get(id);
      if (object) desired.set(id, object);
    }
    const foundDead = (namespace: string) => this.#applier.links.foundDead(namespace);
    const isTouched = (id: ObjectId) => touched.has(id);
    const changed = this.#settings.paths();
    const again = (name: string) => this.#again.push(`the pin of namespace ${name}`);
    const found = dump({
      places: this.places,
      sockets: this.#sockets,
      desired,
      changed,
      foundDead,
      pause,
      isTouched,
      again,
    });
    // All was read anew in a pause.
    if (this.#touched !== touched) return;
    const former = this.#actual;
    // What was changed in a pause may have been read before that; what was done is remembered better.
    const news = [...touched].map((id) => former.get(id)).filter((object) => object !== undefined);
    this.#actual = new ObjectMap();
    this.#networks.clear();
    for (const object of found) {
      const id = idOf(object);
      if (isTouched(id)) continue;
      this.#holdRead(object, desired.get(id));
    }
    for (const object of news) this.#hold(object);
  }

  #readRules(pause: () => void): void {
    const touched = new Set<ObjectId>();
    this.#touched = touched;
    const found = dumpRules(this.places, [...this.#networks], pause);
    // All was read anew in a pause.
    if (this.#touched !== touched) return;
    const former = [...this.#actual.ids()].filter((id) => isRuleId(id) && !touched.has(id));
    for (const id of former) this.#actual.delete(id);
    for (const object of found) {
      const id = idOf(object);
      if (!touched.has(id)) this.#holdRead(object, this.#pieces.get(id));
    }
  }
}

/** All but a redirect, whose handle the kernel alone knows. A namespace of ours is so not taken for one that was adopted. */
function isShared({ kind }: KernelObject): boolean {
  return kind !== 'redirect';
}

function undone(done: readonly Step[]): KernelError {
  return new KernelError('bring the kernel into its desired state', 'EBUSY', {
    detail: `it still differs after ${MAX_ROUNDS} rounds; the last steps were ${done.slice(-3).map(formatStep).join('; ')}`,
  });
}
