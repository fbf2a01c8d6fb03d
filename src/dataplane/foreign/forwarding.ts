import { readFileSync } from 'node:fs';
import { FORWARDING } from '../host-settings.ts';
import { readTranslators } from './programs.ts';

/** Bridges that other programs make for their containers and machines, which speak IPv4 through the host. */
const bridge = /^(docker0|docker_gwbridge|br-[0-9a-f]{12}|virbr\d+|podman\d+|cni\d+|lxcbr\d+|lxdbr\d+|incusbr\d+)$/;

/**
 * Who else on this host lives by its forwarding of packets, by the path of the setting: each has switched it on for
 * itself, or found it on and was content.
 * @throws Error
 */
export async function forwardingNeeds(): Promise<ReadonlyMap<string, string>> {
  const bridges = interfaces().filter((name) => bridge.test(name));
  const translators = await readTranslators();
  const needs = new Map<string, string>();
  for (const [path, family, own] of [
    [FORWARDING.ip, 'ip', bridges.map((name) => `the bridge ${name}`)],
    [FORWARDING.ip6, 'ip6', []],
  ] as const) {
    const tables = translators.filter((each) => each.family === family || each.family === 'inet');
    const who = [...own, ...tables.map((each) => `address translation in the table ${each.family} ${each.table}`)];
    if (who.length > 0) needs.set(path, who.join(', '));
  }
  return needs;
}

/** Of this network namespace, whatever /sys shows. */
function interfaces(): readonly string[] {
  const lines = readFileSync('/proc/self/net/dev', 'utf8').split('\n').slice(2);
  return lines.flatMap((line) => /^\s*([^:]+):/.exec(line)?.[1] ?? []);
}
