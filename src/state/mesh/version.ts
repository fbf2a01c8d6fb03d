import type { Version } from './sheets.ts';

/** Below, at or above zero as `one` is older than, the same as or newer than `other`. */
export function compareVersions(one: Version, other: Version): number {
  return one[0] - other[0] || one[1] - other[1];
}
