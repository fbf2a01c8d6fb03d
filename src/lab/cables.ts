import { places } from './description.ts';
import type { Place } from './place.ts';
import { hostLines, outsideLines, type Plan, switchLines } from './plan.ts';
import { run } from './run.ts';

/** Joins the machines of a lab as planned. @throws CommandError */
export async function wire(plan: Plan, by: ReadonlyMap<string, Place>): Promise<void> {
  const pids = new Map([...by].map(([name, place]) => [name, place.pid]));
  await links(by, places.underlay, switchLines(plan, pids));
  const forward = 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding';
  await Promise.all([
    by.get(places.underlay)?.exec(['sh', '-euc', forward]),
    links(by, places.outside, outsideLines(plan)),
    ...plan.hosts.map((host) => links(by, host.name, hostLines(plan, host))),
  ]);
}

/** Configures the cable that is plugged into a host again. */
export async function wireHost(plan: Plan, host: Plan['hosts'][number], place: Place): Promise<void> {
  await links(new Map([[host.name, place]]), host.name, hostLines(plan, host));
}

/** Not in the place's PID namespace: the process ids in the lines are ours. */
async function links(by: ReadonlyMap<string, Place>, name: string, lines: readonly string[]): Promise<void> {
  const place = by.get(name);
  if (!place) throw new Error(`the lab has no place ${name}`);
  await run(['nsenter', `--net=${place.netns}`, 'ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
}
