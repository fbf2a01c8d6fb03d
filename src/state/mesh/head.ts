import type { Scope, Version } from './sheets.ts';
import { compareVersions } from './version.ts';

/** What is signed of a sheet: everything but its entries, which the digest stands for. */
export interface Head {
  readonly owner: string;
  readonly scope: Scope;
  readonly version: Version;
  /** SHA-256 over the sheet's entries, in hex. */
  readonly digest: string;
  /** The latest version of an earlier epoch that went into this one. */
  readonly over?: Version | undefined;
  /** Of the owner over `statement`, base64. */
  readonly signature: string;
}

/** Which sheet, and how far. */
export type Mark = Omit<Head, 'signature' | 'over'>;

/** How far one host holds one sheet. */
export type State = Pick<Head, 'version' | 'digest'>;

/** What the owner signs. No part can hold a line feed. */
export function statement(cluster: string, { owner, scope, version, digest, over }: Omit<Head, 'signature'>): string {
  return ['skein sheet', cluster, owner, scope, version.join('.'), over?.join('.') ?? '', digest].join('\n');
}

/** Whether who said `next` did not know any more that it had said `before`: its disk was rolled back. */
export function forgets(next: Head, before: Head): boolean {
  return next.version[0] > before.version[0] && compareVersions(before.version, next.over ?? [0, 0]) > 0;
}

/**
 * One total order on all states of a sheet, the same on every host: by epoch, then by sequence number. Two contents of one
 * version exist only when the owner's disk was rolled back unnoticed, or when it lies: then the digest decides.
 */
export function compareStates(one: State | undefined, other: State | undefined): number {
  if (one === undefined || other === undefined) return Number(one !== undefined) - Number(other !== undefined);
  const byVersion = compareVersions(one.version, other.version);
  if (byVersion !== 0 || one.digest === other.digest) return byVersion;
  return one.digest < other.digest ? -1 : 1;
}

/** One text for each sheet. */
export function nameOf({ owner, scope }: Pick<Head, 'owner' | 'scope'>): string {
  return `${scope} ${owner}`;
}

/** The network that a scope is about. */
export function networkOf(scope: Scope): string | undefined {
  return scope.startsWith('network:') ? scope.slice('network:'.length) : undefined;
}
