import { isIPv6 } from 'node:net';

/** Addresses given by hand that a host keeps. */
export const mostTargets = 64;

export function formatTarget(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
