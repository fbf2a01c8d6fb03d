import type { Seal } from './environment.ts';
import { type Mark, nameOf } from './head.ts';

/** How many parts the marks of a group are compared in. */
export const buckets = 64;

/**
 * The marks of all sheets of a group, for comparing them with another host's: one hash over all, one over each bucket.
 * Hashes are made when they are asked for, of what changed since.
 */
export class Marks {
  readonly #seal: Pick<Seal, 'hash'>;
  readonly #buckets = Array.from({ length: buckets }, () => new Map<string, Mark>());
  readonly #hashes: (string | undefined)[] = Array.from({ length: buckets });
  #root: string | undefined;

  constructor(seal: Pick<Seal, 'hash'>) {
    this.#seal = seal;
  }

  put({ owner, scope, version, digest }: Mark): void {
    const mark = { owner, scope, version, digest };
    this.#touch(bucketOf(nameOf(mark)))?.set(nameOf(mark), mark);
  }

  delete(mark: Pick<Mark, 'owner' | 'scope'>): void {
    this.#touch(bucketOf(nameOf(mark)))?.delete(nameOf(mark));
  }

  /** Equal where all marks are. */
  root(): string {
    this.#root ??= this.#seal.hash(this.hashes().join());
    return this.#root;
  }

  /** Of each bucket. */
  hashes(): readonly string[] {
    return this.#buckets.map((bucket, at) => {
      const lines = () => [...bucket].map(([name, mark]) => `${name} ${mark.version.join('.')} ${mark.digest}`).sort();
      const hash = this.#hashes[at] ?? (bucket.size === 0 ? '' : this.#seal.hash(lines().join('\n')).slice(0, 16));
      this.#hashes[at] = hash;
      return hash;
    });
  }

  /** The buckets that are not as those of who has these hashes. */
  differing(hashes: readonly string[]): readonly number[] {
    return this.hashes().flatMap((hash, at) => (hash === hashes[at] ? [] : [at]));
  }

  within(bucket: number): readonly Mark[] {
    return [...(this.#buckets[bucket]?.values() ?? [])];
  }

  #touch(at: number): Map<string, Mark> | undefined {
    this.#hashes[at] = undefined;
    this.#root = undefined;
    return this.#buckets[at];
  }
}

/** Spreads names over the buckets, the same way on every host (FNV-1a). */
function bucketOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.length; at += 1) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193);
  return (hash ^ (hash >>> 16)) & (buckets - 1);
}
