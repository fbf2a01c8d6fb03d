import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from '../../lib/errors.ts';
import { aliasesOf, type Container } from '../../model/container.ts';
import type { Journal } from '../../state/journal.ts';
import type { Endpoints, OpenSandbox, Sandbox } from '../endpoints/endpoints.ts';
import type { RunSpec, TerminalSize } from './containers.ts';
import { formEnvironment } from './etc.ts';
import type { EtcFiles } from './etc-files.ts';
import { placesIn, requestFor } from './former.ts';
import type { ShimPlace } from './shim.ts';
import { type Command, type Supervisor, startSupervisor } from './supervisor.ts';

export interface StartNeeds {
  readonly endpoints: Pick<Endpoints, 'openSandbox' | 'sandboxes'>;
  readonly journal: Pick<Journal, 'commit'>;
  readonly now: () => number;
  readonly etc: Pick<EtcFiles, 'write'>;
  readonly logSize: number;
}

export interface Started {
  readonly container: Container;
  readonly supervisor: Supervisor;
}

const sigkill = 9;

/** Makes a container and runs its command. Nothing of a failed attempt runs on, but its traces are the caller's to take back. */
export async function startContainer(
  needs: StartNeeds,
  { id, name, place, spec }: { id: string; name: string; place: ShimPlace; spec: RunSpec },
): Promise<Started> {
  const { endpoints, journal, now } = needs;
  await mkdir(place.directory, { mode: 0o700 });
  const sandbox = await endpoints.openSandbox({
    exit: true,
    container: { id, name },
    ...dnsOf(spec),
    connect: placesOf(id, name, spec),
  });
  const fixed = spec.ip !== undefined || spec.ip6 !== undefined || (spec.addresses ?? []).length > 0;
  const created: Container = {
    id,
    name,
    created: new Date(now()).toISOString(),
    command: [...spec.command],
    env: [...spec.env],
    hostname: spec.hostname ?? id.slice(0, 12),
    ...(spec.rootfs && { rootfs: spec.rootfs }),
    interactive: spec.interactive,
    tty: spec.tty,
    remove: spec.remove,
    restart: spec.restart ?? { name: 'no', most: 0 },
    restarts: 0,
    stopped: false,
    places: placesIn(sandbox, []).map((former) => ({ ...former, fixed })),
    ...(spec.dns && { dns: spec.dns }),
    ...(spec.ports && { ports: [...spec.ports] }),
    sandbox: sandbox.id,
    state: { status: 'created' },
  };
  await needs.etc.write(created, sandbox);
  await journal.commit([{ kind: 'container', id, put: created }]);
  return await execute(created, { sandbox, place, ...(spec.size && { size: spec.size }) }, needs);
}

/**
 * Runs the command of a container once more, which is journalled as restarting: in its sandbox if that is still there, else
 * in a new one with its former addresses. Nothing of a failed attempt runs on; the sandbox stays for the next.
 */
export async function startAgain(container: Container, place: ShimPlace, needs: StartNeeds): Promise<Started> {
  const { endpoints, journal } = needs;
  // Of its former life, which is journalled.
  await rm(join(place.directory, 'exit'), { force: true });
  const open = sandboxOf(container, endpoints);
  const sandbox = open ?? (await reopen(container, needs));
  const ready = { ...container, sandbox: sandbox.id, places: placesIn(sandbox, container.places) };
  if (ready.sandbox !== container.sandbox) await journal.commit([{ kind: 'container', id: container.id, put: ready }]);
  await needs.etc.write(ready, sandbox);
  return await execute(ready, { sandbox, place }, needs);
}

/** The sandbox that a container has; not one that is being given back: that has nothing left. */
export function sandboxOf({ id }: Pick<Container, 'id'>, endpoints: Pick<Endpoints, 'sandboxes'>): Sandbox | undefined {
  return endpoints
    .sandboxes()
    .find((each) => each.container?.id === id && (each.exit !== undefined || each.endpoints.size > 0));
}

async function reopen({ id, name, places, dns, ports }: Container, { endpoints }: StartNeeds): Promise<Sandbox> {
  const open = (exactly: boolean) =>
    endpoints.openSandbox({
      exit: true,
      container: { id, name },
      ...dnsOf({ dns }),
      connect: places.map((place) => requestFor(place, { name, exactly, ports })),
    });
  try {
    return await open(true);
  } catch (error) {
    // Somebody else may have one of its addresses by now.
    if (!(error instanceof Refusal) || error.kind !== 'conflict' || places.every(({ fixed }) => fixed)) throw error;
    return await open(false);
  }
}

async function execute(
  container: Container,
  { sandbox, place, size }: { sandbox: Sandbox; place: ShimPlace; size?: TerminalSize },
  { journal, logSize }: StartNeeds,
): Promise<Started> {
  const { id, hostname, rootfs, env, tty } = container;
  const { supervisor, command } = await startSupervisor(place, {
    mode: 'run',
    control: place.control,
    netns: sandbox.key,
    hostname,
    ...(rootfs && { rootfs }),
    command: container.command,
    env: formEnvironment(env, { hostname, tty }),
    tty,
    ...(size && { size }),
    input: container.interactive,
    logSize,
  });
  try {
    const running = runningAs(container, command);
    await journal.commit([{ kind: 'container', id, put: running }]);
    return { container: running, supervisor };
  } catch (error) {
    await supervisor.ask({ kind: 'signal', signal: sigkill });
    await supervisor.end;
    throw error;
  }
}

export function runningAs(container: Container, { pid, started }: Command): Container {
  return { ...container, state: { status: 'running', pid, started: new Date(started).toISOString() } };
}

function placesOf(id: string, name: string, { network, ip, ip6, addresses, mac, aliases, ports }: RunSpec) {
  if (network === undefined) return [];
  const wishes = {
    ...(ip && { ip }),
    ...(ip6 && { ip6 }),
    ...(addresses && { addresses }),
    ...(mac && { mac }),
    ...(ports && { ports }),
  };
  return [{ network, name, aliases: aliasesOf({ id }, aliases), ...wishes }];
}

function dnsOf({ dns }: Pick<Container, 'dns'>): Pick<OpenSandbox, 'dns'> {
  return dns === undefined || dns.servers.length === 0 ? {} : { dns: dns.servers };
}
