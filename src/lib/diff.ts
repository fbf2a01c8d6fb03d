/** What has to change so that `actual` becomes `desired`: the one place where steps are found. */
export interface Difference<K, D, A> {
  /** Wanted and missing, in the order of `desired`. */
  readonly add: readonly D[];
  /** There under the same key but not the same. */
  readonly change: readonly { readonly key: K; readonly from: A; readonly to: D }[];
  /** There and not wanted, in the order of `actual`. */
  readonly remove: readonly A[];
}

/** Pure. `same` says whether a thing that exists needs nothing done. */
export function diff<K, D, A>(
  desired: ReadonlyMap<K, D>,
  actual: ReadonlyMap<K, A>,
  same: (desired: D, actual: A) => boolean,
): Difference<K, D, A> {
  const add: D[] = [];
  const change: { key: K; from: A; to: D }[] = [];
  for (const [key, to] of desired) {
    const from = actual.get(key);
    if (from === undefined) add.push(to);
    else if (!same(to, from)) change.push({ key, from, to });
  }
  const remove = [...actual].filter(([key]) => !desired.has(key)).map(([, thing]) => thing);
  return { add, change, remove };
}
