/** How long a suspicion may last before it becomes a judgement, in milliseconds. */
export interface Range {
  /** With all the confirmations that are expected. */
  readonly least: number;
  /** With none. */
  readonly most: number;
}

/** How many independent confirmations are waited for among so many hosts. */
export function expectedConfirmations(hosts: number): number {
  return Math.max(0, Math.min(3, hosts - 2));
}

/** Grows with the logarithm of the cluster: so do the steps in which a contradiction comes round. */
export function suspicionRange(hosts: number): Range {
  const least = 1_000 * Math.max(1, Math.log10(Math.max(1, hosts)));
  return { least, most: 3 * least };
}

/**
 * From `most` down to `least` as others confirm, the first ones counting most (Dadgar, Phillips, Currey: Lifeguard, 2017):
 * who alone does not hear somebody has probably trouble itself.
 */
export function suspicionTimeout(confirmations: number, expected: number, { least, most }: Range): number {
  if (expected <= 0) return least;
  const share = Math.log(Math.min(confirmations, expected) + 1) / Math.log(expected + 1);
  return Math.max(least, most - (most - least) * share);
}
