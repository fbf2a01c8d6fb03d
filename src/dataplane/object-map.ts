import { idOf, type KernelObject, type ObjectId } from './objects.ts';

/** What the kernel holds, as it was read and changed since; knows what goes with what. */
export class ObjectMap {
  readonly #objects = new Map<ObjectId, KernelObject>();
  readonly #children = new Map<ObjectId, Set<ObjectId>>();

  get(id: ObjectId): KernelObject | undefined {
    return this.#objects.get(id);
  }

  ids(): MapIterator<ObjectId> {
    return this.#objects.keys();
  }

  values(): MapIterator<KernelObject> {
    return this.#objects.values();
  }

  set(object: KernelObject): void {
    const id = idOf(object);
    this.delete(id);
    this.#objects.set(id, object);
    for (const holder of holdersOf(object)) insert(this.#children, holder, id);
  }

  delete(id: ObjectId): void {
    const object = this.#objects.get(id);
    if (object === undefined) return;
    this.#objects.delete(id);
    for (const holder of holdersOf(object)) take(this.#children, holder, id);
  }

  /** Everything that goes when this goes, itself first. */
  tree(id: ObjectId): readonly KernelObject[] {
    const ids = new Set([id]);
    for (const parent of ids) for (const child of this.#children.get(parent) ?? []) ids.add(child);
    return [...ids].map((each) => this.#objects.get(each)).filter((object) => object !== undefined);
  }
}

function holdersOf({ parent, leadsTo }: KernelObject): readonly ObjectId[] {
  return [parent, leadsTo].filter((id) => id !== undefined);
}

function insert(index: Map<string, Set<ObjectId>>, key: string, id: ObjectId): void {
  const ids = index.get(key);
  if (ids) ids.add(id);
  else index.set(key, new Set([id]));
}

function take(index: Map<string, Set<ObjectId>>, key: string, id: ObjectId): void {
  const ids = index.get(key);
  ids?.delete(id);
  if (ids?.size === 0) index.delete(key);
}
