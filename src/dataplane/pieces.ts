import { equal } from '../lib/equal.ts';
import { type Change, keyOf, type Piece, type PieceKey } from './dataplane.ts';
import { portObjects } from './endpoint/port.ts';
import { sandboxObjects } from './endpoint/sandbox.ts';
import { exitObjects } from './gateway/exit.ts';
import { gatewayObjects } from './gateway/gateway.ts';
import { peerObjects, underlayObjects } from './guard/guard.ts';
import { HOST, idOf, type KernelObject, type ObjectId } from './objects.ts';
import { answering, networkObjects } from './overlay/network.ts';
import { remoteObjects } from './overlay/remote.ts';

/**
 * The pieces that should be, and the kernel objects that they stand for. A piece that needs another (a port its network
 * and its sandbox) stands for nothing while that is missing, so the order in which pieces come does not matter. Two pieces
 * may ask for one object, as an endpoint's old and new place do while it moves: the later one has it, but of routes the one
 * by the first interface.
 */
export class Pieces {
  readonly #pieces = new Map<PieceKey, Piece>();
  readonly #objects = new Map<PieceKey, readonly KernelObject[]>();
  readonly #dependents = new Map<string, Set<PieceKey>>();
  /** Who asks for an object, the one that has it last. */
  readonly #claims = new Map<ObjectId, readonly Claim[]>();

  /** What the kernel should hold under this id. */
  get(id: ObjectId): KernelObject | undefined {
    return this.#claims.get(id)?.at(-1)?.object;
  }

  ids(): MapIterator<ObjectId> {
    return this.#claims.keys();
  }

  /** None or one. */
  get underlay(): readonly Piece[] {
    const piece = this.#pieces.get(keyOf({ kind: 'underlay' }));
    return piece ? [piece] : [];
  }

  keys(): MapIterator<PieceKey> {
    return this.#pieces.keys();
  }

  /**
   * @returns every object that this may have touched, and the change that takes it back
   * @throws ParseError when a piece holds text that is no address; nothing is changed then
   */
  change({ put = [], remove = [] }: Change): { readonly touched: ReadonlySet<ObjectId>; readonly undo: Change } {
    const before = new Map<PieceKey, Piece | undefined>();
    const replace = (key: PieceKey, piece: Piece | undefined) => {
      const old = this.#pieces.get(key);
      if (equal(old, piece)) return;
      if (!before.has(key)) before.set(key, old);
      this.#put(key, old, piece);
    };
    for (const key of remove) replace(key, undefined);
    for (const piece of put) replace(keyOf(piece), piece);

    const touched = new Set<ObjectId>();
    const keys = this.#withDependents(before.keys());
    try {
      for (const key of keys) this.#claim(key, touched);
    } catch (error) {
      for (const [key, old] of before) this.#put(key, this.#pieces.get(key), old);
      for (const key of keys) this.#claim(key, touched);
      throw error;
    }
    const undo = {
      put: [...before.values()].filter((piece) => piece !== undefined),
      remove: [...before].filter(([, piece]) => piece === undefined).map(([key]) => key),
    };
    return { touched, undo };
  }

  #put(key: PieceKey, old: Piece | undefined, piece: Piece | undefined): void {
    for (const need of old ? needsOf(old) : []) this.#dependents.get(need)?.delete(key);
    if (piece === undefined) {
      this.#pieces.delete(key);
      return;
    }
    this.#pieces.set(key, piece);
    for (const need of needsOf(piece)) {
      const dependents = this.#dependents.get(need) ?? new Set();
      this.#dependents.set(need, dependents.add(key));
    }
  }

  /** Needs run no deeper than remote → network → underlay. */
  #withDependents(keys: Iterable<PieceKey>): ReadonlySet<PieceKey> {
    const all = new Set(keys);
    for (const key of all) for (const dependent of this.#dependents.get(key) ?? []) all.add(dependent);
    return all;
  }

  #claim(owner: PieceKey, touched: Set<ObjectId>): void {
    for (const object of this.#objects.get(owner) ?? []) {
      const id = idOf(object);
      const others = (this.#claims.get(id) ?? []).filter((claim) => claim.owner !== owner);
      if (others.length === 0) this.#claims.delete(id);
      else this.#claims.set(id, others);
      touched.add(id);
    }
    const piece = this.#pieces.get(owner);
    const objects = piece ? objectsOf(piece, this.#pieces) : [];
    if (objects.length === 0) this.#objects.delete(owner);
    else this.#objects.set(owner, objects);
    for (const object of objects) {
      const id = idOf(object);
      const others = this.#claims.get(id)?.filter((claim) => claim.owner !== owner) ?? [];
      this.#claims.set(id, inOrder([...others, { owner, object }]));
      touched.add(id);
    }
  }
}

interface Claim {
  readonly owner: PieceKey;
  readonly object: KernelObject;
}

/** The one that has it last: of routes of a sandbox the one by its first interface, which others' coming leaves as it is. */
function inOrder(claims: readonly Claim[]): readonly Claim[] {
  if (claims.at(-1)?.object.kind !== 'route') return claims;
  const device = ({ object }: Claim) => (object.kind === 'route' ? object.spec.device : '');
  return claims.toSorted((a, b) => byNumber.compare(device(b), device(a)));
}

const byNumber = new Intl.Collator('en', { numeric: true });

/** Keys of the pieces that a piece needs. */
function needsOf(piece: Piece): readonly string[] {
  switch (piece.kind) {
    case 'underlay':
    case 'gateway':
    case 'sandbox':
    case 'listener':
      return [];
    case 'peer':
    case 'network':
      return ['underlay'];
    case 'remote':
      return [`network ${piece.network}`];
    case 'port':
      return [`network ${piece.network}`, `sandbox ${piece.sandbox}`];
    case 'exit':
      return ['gateway', `sandbox ${piece.sandbox}`];
  }
}

/** What a piece stands for among these. Pure. */
export function objectsOf(piece: Piece, among: ReadonlyMap<string, Piece>): readonly KernelObject[] {
  const underlay = find(among, 'underlay', 'underlay');
  const network = (id: string) => (underlay ? find(among, 'network', `network ${id}`) : undefined);
  const sandbox = (id: string) => find(among, 'sandbox', `sandbox ${id}`);
  switch (piece.kind) {
    case 'underlay':
      return underlayObjects(piece);
    case 'gateway':
      return gatewayObjects(piece);
    case 'sandbox':
      return sandboxObjects(piece);
    case 'peer':
      return underlay ? peerObjects(piece, underlay) : [];
    case 'network':
      return underlay ? networkObjects(piece, underlay) : [];
    case 'remote': {
      const on = network(piece.network);
      return on && underlay ? remoteObjects(piece, on, underlay) : [];
    }
    case 'port': {
      const [on, into] = [network(piece.network), sandbox(piece.sandbox)];
      return on && into ? portObjects(piece, on, into) : [];
    }
    case 'exit': {
      const [via, from] = [find(among, 'gateway', 'gateway'), sandbox(piece.sandbox)];
      return via && from ? exitObjects(piece, via, from) : [];
    }
    case 'listener':
      return answering(HOST, [piece]);
  }
}

function find<K extends Piece['kind']>(
  among: ReadonlyMap<string, Piece>,
  kind: K,
  key: string,
): Extract<Piece, { kind: K }> | undefined {
  const piece = among.get(key);
  return piece?.kind === kind ? (piece as Extract<Piece, { kind: K }>) : undefined;
}
