import type { StoredSheet } from '../environment.ts';
import type { Sheet } from '../sheets.ts';
import type { Verify } from '../signing.ts';
import { compareVersions } from '../version.ts';
import { clusterIdOf, type Genesis } from './genesis.ts';
import type { TrustSheet } from './statements.ts';
import { judgeOf, type Trust } from './trust.ts';

/** What this host thinks of everyone, by the trust sheets that it holds at that moment. */
export class TrustView {
  readonly cluster: string;
  readonly #judge: (sheets: Iterable<TrustSheet>) => Trust;
  readonly #held: () => readonly Sheet[];
  #seen: readonly Sheet[] = [];
  #trust: Trust;

  /** `held` says which trust sheets are held now; a sheet that changed is another value. */
  constructor(genesis: Genesis, verify: Verify, held: () => readonly Sheet[]) {
    this.cluster = clusterIdOf(genesis);
    this.#judge = judgeOf(genesis, verify);
    this.#held = held;
    this.#trust = this.#judge([]);
  }

  now(): Trust {
    const held = this.#held();
    const same = held.length === this.#seen.length && held.every((sheet, place) => sheet === this.#seen[place]);
    if (!same) {
      this.#seen = held;
      this.#trust = this.#judge(held);
    }
    return this.#trust;
  }

  /** What it would be with sheets that were shown, as far as they are newer than what is held. */
  with(shown: readonly StoredSheet[]): Trust {
    const held = new Map(this.#held().map((sheet) => [sheet.owner, sheet]));
    for (const { head, entries } of shown) {
      const before = held.get(head.owner)?.version ?? [0, 0];
      if (compareVersions(head.version, before) > 0) held.set(head.owner, { ...head, entries: new Map(entries) });
    }
    return this.#judge(held.values());
  }

  /** The key that signs what the host says: in its trust sheet if it was ever an admin, elsewhere as long as it belongs to us. */
  keyFor(owner: string, scope: string): string | undefined {
    const trust = this.now();
    return scope === 'trust' ? trust.signers.get(owner) : trust.hosts.get(owner)?.key;
  }
}
