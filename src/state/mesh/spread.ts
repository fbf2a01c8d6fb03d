import { type Held, type Update, updateSince } from './content.ts';
import type { Clock } from './environment.ts';
import { compareStates, type Mark, nameOf, networkOf, type State } from './head.ts';
import { type LinkMessage, type Message, most, type Want } from './messages.ts';
import type { Own } from './own.ts';
import { Relay } from './relay.ts';
import type { Scope } from './sheets.ts';
import type { Outcome, Shelf } from './shelf.ts';

/** Milliseconds. */
export const pace = {
  /** In which marks for those who were told lazily are gathered. */
  lazy: 40,
  /** Before who was told of a newer sheet asks for it: it may be on its way. */
  missing: 100,
  /** Before the next who has it is asked. */
  again: 500,
} as const;

const mostMissing = 4096;

export interface SpreadNeeds {
  readonly self: string;
  readonly clock: Clock;
  readonly shelf: Shelf;
  readonly own: Own;
  readonly peers: () => Iterable<string>;
  readonly send: (peer: string, message: LinkMessage) => void;
  /** Whether sheets of the scope are held here. */
  readonly holds: (scope: Scope) => boolean;
  /** Whether a peer holds sheets of the scope, as far as it says. */
  readonly heldBy: (peer: string, scope: Scope) => boolean;
  /** Nobody near has what is missing. */
  readonly askFar: (want: Want) => void;
  /** Its disk was rolled back: it is told what it had said. */
  readonly remind: (owner: string, update: Update) => void;
  /** It passed on what it should have seen to be wrong. */
  readonly liar: (peer: string, why: string) => void;
}

interface Missing {
  /** The latest that anybody said to have. */
  mark: Mark;
  readonly from: string[];
  cancel: () => void;
}

/**
 * Brings each change to everybody along trees (Leitão, Pereira, Rodrigues: Epidemic Broadcast Trees, 2007), one an owner:
 * a neighbour is told at once, until it says that it had heard already; then it is told lazily what there is, and says when
 * it did not hear. Nothing is kept for who is slow: a link that was full is compared when it has drained.
 */
export class Spread {
  readonly #needs: SpreadNeeds;
  readonly #relay = new Relay();
  /** By owner: who hears of its sheets from others sooner. */
  readonly #lazy = new Map<string, Set<string>>();
  /** By owner: from whom its sheets came last. */
  readonly #parents = new Map<string, string>();
  readonly #missing = new Map<string, Missing>();
  /** By peer: what it is to be told of. */
  readonly #untold = new Map<string, Map<string, Pick<Mark, 'owner' | 'scope'>>>();
  #telling = false;

  constructor(needs: SpreadNeeds) {
    this.#needs = needs;
  }

  /** This host said something. */
  said(sheet: Held): void {
    this.#forward(sheet.head, updateSince(sheet, sheet.past.at(-1)?.from), undefined);
  }

  /** What came by comparing with another host: neighbours may lack it too. */
  announce(marks: Iterable<Mark>, except: string): void {
    for (const mark of marks) for (const peer of this.#needs.peers()) if (peer !== except) this.#tell(peer, mark);
  }

  /** What takes one host on: how far a sheet has come here, be it held or passed on. */
  state(sheet: Pick<Mark, 'owner' | 'scope'>): State | undefined {
    if (!this.#needs.holds(sheet.scope)) return this.#relay.state(sheet);
    return this.#needs.shelf.read(sheet.owner, sheet.scope)?.head;
  }

  /** Takes in one update, wherever it came from. */
  take(update: Update): Outcome {
    const { self, own, shelf, holds } = this.#needs;
    if (update.head.owner === self) return own.remember(update);
    if (holds(update.head.scope)) {
      const outcome = shelf.take(update);
      const mine = shelf.read(update.head.owner, update.head.scope);
      if (outcome === 'forgotten' && mine) this.#needs.remind(mine.owner, updateSince(mine, undefined));
      return outcome;
    }
    const order = compareStates(update.head, this.#relay.state(update.head));
    if (order <= 0) return order === 0 ? 'known' : 'old';
    const judged = shelf.judge(update);
    if (judged !== 'good') return judged;
    this.#relay.remember(update);
    return 'taken';
  }

  push(from: string, { updates }: Message<'push'>): void {
    const heard = new Set<string>();
    const gaps: Want[] = [];
    for (const update of updates) {
      const { owner, scope } = update.head;
      const before = this.state(update.head);
      switch (this.take(update)) {
        case 'taken': {
          this.#found(update.head);
          this.#parents.set(owner, from);
          const sheet = this.#needs.shelf.read(owner, scope);
          if (owner !== this.#needs.self) this.#forward(update.head, sheet ? updateSince(sheet, before) : update, from);
          break;
        }
        case 'old':
          if (this.#isDetour(from, owner)) heard.add(owner);
          this.#tell(from, update.head);
          break;
        case 'known':
          if (this.#isDetour(from, owner)) heard.add(owner);
          break;
        case 'gap':
          if (this.#needs.heldBy(from, scope)) gaps.push(want(update.head, before));
          else if (this.#needs.holds(scope)) this.#needs.askFar(want(update.head, before));
          break;
        case 'forged':
          this.#needs.liar(from, `passed on a sheet that ${owner} did not sign`);
          return;
        case 'altered':
          if (networkOf(scope) === undefined) {
            this.#needs.liar(from, `altered what ${owner} had signed`);
            return;
          }
          this.#needs.askFar(want(update.head, before));
          break;
        case 'unadmitted':
        case 'forgotten':
          break;
      }
    }
    for (const owner of heard) this.#setLazy(owner, from);
    if (heard.size > 0) this.#needs.send(from, { t: 'prune', owners: [...heard].slice(0, most.marks) });
    if (gaps.length > 0) this.#needs.send(from, { t: 'graft', wants: gaps.slice(0, most.wants) });
  }

  /** Whether what the owner says is heard sooner from another: what was known may have come by comparing with this very peer. */
  #isDetour(from: string, owner: string): boolean {
    return from !== owner && this.#parents.get(owner) !== from;
  }

  have(from: string, { marks }: Message<'have'>): void {
    for (const mark of marks) {
      const state = this.state(mark);
      if (compareStates(mark, state) <= 0 || !this.#needs.shelf.admits(mark)) continue;
      const missing = this.#missing.get(nameOf(mark));
      if (missing !== undefined && compareStates(missing.mark, state) > 0) {
        if (!missing.from.includes(from)) missing.from.push(from);
        if (compareStates(mark, missing.mark) > 0) missing.mark = mark;
      } else if (missing !== undefined || this.#missing.size < mostMissing) {
        // What was missing before came some other way.
        missing?.cancel();
        this.#miss(mark, [from], pace.missing);
      }
    }
  }

  graft(from: string, { wants }: Message<'graft'>): void {
    const updates = wants.flatMap((sheet) => {
      this.#lazy.get(sheet.owner)?.delete(from);
      return this.since(sheet) ?? [];
    });
    for (const some of frames(updates)) this.#needs.send(from, { t: 'push', updates: some });
  }

  eager(from: string, { owners }: Message<'eager'>): void {
    for (const owner of owners) this.#lazy.get(owner)?.delete(from);
  }

  prune(from: string, { owners }: Message<'prune'>): void {
    for (const owner of owners) this.#setLazy(owner, from);
  }

  /** What brings who has what it says it has further. */
  since({ owner, scope, have }: Want): Update | undefined {
    if (compareStates(this.state({ owner, scope }), have) <= 0) return undefined;
    const sheet = this.#needs.shelf.read(owner, scope);
    return sheet === undefined ? this.#relay.since({ owner, scope }, have) : updateSince(sheet, have);
  }

  closed(peer: string): void {
    this.#untold.delete(peer);
    for (const [owner, lazy] of this.#lazy) if (lazy.delete(peer) && lazy.size === 0) this.#lazy.delete(owner);
    // What came this way comes another: all who are left tell at once, until it is clear who is soonest.
    const owners = [...this.#parents].filter(([, parent]) => parent === peer).map(([owner]) => owner);
    for (const owner of owners) this.#parents.delete(owner);
    if (owners.length === 0) return;
    for (const other of [...this.#needs.peers()])
      this.#needs.send(other, { t: 'eager', owners: owners.slice(0, most.marks) });
  }

  #forward(head: Mark, update: Update, except: string | undefined): void {
    const lazy = this.#lazy.get(head.owner);
    for (const peer of this.#needs.peers()) {
      if (peer === except || peer === head.owner) continue;
      if (lazy?.has(peer)) this.#tell(peer, head);
      else this.#needs.send(peer, { t: 'push', updates: [update] });
    }
  }

  /** Only of who is known: a peer cannot make this host remember names without end. */
  #setLazy(owner: string, peer: string): void {
    const lazy = this.#lazy.get(owner) ?? new Set();
    if (lazy.size === 0 && owner !== this.#needs.self && !this.#needs.shelf.read(owner, 'host')) return;
    this.#lazy.set(owner, lazy.add(peer));
  }

  #tell(peer: string, { owner, scope }: Pick<Mark, 'owner' | 'scope'>): void {
    const untold = this.#untold.get(peer) ?? new Map();
    this.#untold.set(peer, untold.set(nameOf({ owner, scope }), { owner, scope }));
    if (this.#telling) return;
    this.#telling = true;
    this.#needs.clock.after(pace.lazy, () => this.#tellAll());
  }

  /** What there is now, which may be newer than what there was to tell. */
  #tellAll(): void {
    this.#telling = false;
    for (const [peer, untold] of this.#untold) {
      const marks = [...untold.values()].flatMap((sheet) => {
        const state = this.state(sheet);
        return state === undefined ? [] : [{ ...sheet, version: state.version, digest: state.digest }];
      });
      for (let at = 0; at < marks.length; at += most.marks)
        this.#needs.send(peer, { t: 'have', marks: marks.slice(at, at + most.marks) });
    }
    this.#untold.clear();
  }

  #miss(mark: Mark, from: string[], delay: number): void {
    const missing: Missing = { mark, from, cancel: () => undefined };
    missing.cancel = this.#needs.clock.after(delay, () => this.#askNext(missing));
    this.#missing.set(nameOf(mark), missing);
  }

  #askNext({ mark, from }: Missing): void {
    this.#missing.delete(nameOf(mark));
    const state = this.state(mark);
    if (compareStates(mark, state) <= 0) return;
    const up = new Set(this.#needs.peers());
    const peer = from.find((one) => up.has(one));
    if (peer === undefined) {
      if (this.#needs.holds(mark.scope)) this.#needs.askFar(want(mark, state));
      return;
    }
    this.#lazy.get(mark.owner)?.delete(peer);
    this.#needs.send(peer, { t: 'graft', wants: [want(mark, state)] });
    this.#miss(mark, from.slice(from.indexOf(peer) + 1), pace.again);
  }

  #found(mark: Mark): void {
    const missing = this.#missing.get(nameOf(mark));
    if (missing === undefined || compareStates(missing.mark, mark) > 0) return;
    missing.cancel();
    this.#missing.delete(nameOf(mark));
  }
}

function want({ owner, scope }: Pick<Mark, 'owner' | 'scope'>, have: State | undefined): Want {
  return have === undefined ? { owner, scope } : { owner, scope, have: { version: have.version, digest: have.digest } };
}

/** As many updates a frame as are allowed; one that is longer goes alone. */
export function* frames(updates: readonly Update[]): Generator<Update[]> {
  let frame: Update[] = [];
  let length = 0;
  for (const update of updates) {
    const size = lengthOf(update);
    if (frame.length > 0 && (length + size > most.frame || frame.length === most.updates)) {
      yield frame;
      frame = [];
      length = 0;
    }
    frame.push(update);
    length += size;
  }
  if (frame.length > 0) yield frame;
}

/** In characters, about. */
function lengthOf({ put, gone }: Update): number {
  return 400 + gone.length * 64 + put.reduce((sum, [key, value]) => sum + key.length + JSON.stringify(value).length, 0);
}
