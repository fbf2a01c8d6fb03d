import { createHash } from 'node:crypto';

/** How containers' MACs begin, unless someone chose another one. */
export const CONTAINER_MACS = '02:42';

/**
 * A locally administered MAC that follows from what it is for, so that every host and every restart finds the same one.
 * 5e is not 02: containers' own begin with 02:42.
 */
export function macFor(purpose: string): string {
  const hash = createHash('sha256').update(purpose).digest('hex');
  return `5e:${hash.slice(0, 2)}:${hash.slice(2, 4)}:${hash.slice(4, 6)}:${hash.slice(6, 8)}:${hash.slice(8, 10)}`;
}

/** `fe80::…`: the link-local address that a kernel derives from a MAC (modified EUI-64). */
export function linkLocalOf(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(':').map((octet) => Number.parseInt(octet, 16));
  const groups = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return `fe80::${groups.map((group) => group.toString(16)).join(':')}`;
}
