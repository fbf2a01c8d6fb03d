import { readFileSync } from 'node:fs';
import { FORWARDING } from '../host-settings.ts';
import { readTranslators } from './programs.ts';

/**
 * Bridges that other programs make for their containers and machines, which speak through the host: IPv4, and IPv6
 * where the bridge has an address.
 */
const bridge = /^(docker0|docker_gwbridge|br-[0-9a-f]{12}|virbr\d+|podman\d+|cni\d+|lxcbr\d+|lxdbr\d+|incusbr\d+)$/;

/**
 * Who else on this host lives by its forwarding of packets, by the path of the setting: each has switched it on for
 * itself, or found it on and was content.
 * @throws Error
 */
export async function forwardingNeeds(): Promise<ReadonlyMap<string, string>> {
  const bridges = interfaces().filter((name) => bridge.test(name));
  const withIp6 = globalIp6();
  const translators = await readTranslators();
  const needs = new Map<string, string>();
  for (const [path, family, own] of [
    [FORWARDING.ip, 'ip', bridges],
    [FORWARDING.ip6, 'ip6', bridges.filter((name) => withIp6.has(name))],
  ] as const) {
    const tables = translators.filter((each) => each.family === family || each.family === 'inet');
    const who = [
      ...own.map((name) => `the bridge ${name}`),
      ...tables.map((each) => `address translation in the table ${each.family} ${each.table}`),
    ];
    if (who.length > 0) needs.set(path, who.join(', '));
  }
  return needs;
}

/** Of this network namespace, whatever /sys shows. */
export function interfaces(): readonly string[] {
  const lines = readFileSync('/proc/self/net/dev', 'utf8').split('\n').slice(2);
  return lines.flatMap((line) => /^\s*([^:]+):/.exec(line)?.[1] ?? []);
}

/** Interfaces that have an IPv6 address which is good beyond their link. */
function globalIp6(): ReadonlySet<string> {
  let lines: readonly string[] = [];
  try {
    lines = readFileSync('/proc/self/net/if_inet6', 'utf8').split('\n');
  } catch {
    // A kernel without IPv6.
  }
  // ADDRESS INDEX PREFIX SCOPE FLAGS NAME, all but the name in hexadecimal digits; scope 0 is global.
  return new Set(lines.flatMap((line) => /^[0-9a-f]{32} \S+ \S+ 00 \S+ +(\S+)$/.exec(line)?.[1] ?? []));
}
