import { mkdir } from 'node:fs/promises';
import { aliasesOf, type Container } from '../../model/container.ts';
import type { Journal } from '../../state/journal.ts';
import type { Endpoints, Sandbox } from '../endpoints/endpoints.ts';
import type { RunSpec } from './containers.ts';
import { formEnvironment, writeEtc } from './etc.ts';
import { runningAs } from './lives.ts';
import type { ShimPlace } from './shim.ts';
import { type Supervisor, startSupervisor } from './supervisor.ts';

interface StartNeeds {
  readonly endpoints: Pick<Endpoints, 'openSandbox'>;
  readonly journal: Pick<Journal, 'commit'>;
  readonly now: () => number;
  readonly resolvConfs: readonly string[];
  readonly logSize: number;
}

const sigkill = 9;

/** Makes a container and runs its command. Nothing of a failed attempt runs on, but its traces are the caller's to take back. */
export async function startContainer(
  { endpoints, journal, now, resolvConfs, logSize }: StartNeeds,
  { id, name, place, spec }: { id: string; name: string; place: ShimPlace; spec: RunSpec },
): Promise<{ container: Container; supervisor: Supervisor }> {
  const hostname = spec.hostname ?? id.slice(0, 12);
  await mkdir(place.directory, { mode: 0o700 });
  const sandbox = await endpoints.openSandbox({
    exit: true,
    container: { id, name },
    connect: placesOf(id, name, spec),
  });
  const created: Container = {
    id,
    name,
    created: new Date(now()).toISOString(),
    command: [...spec.command],
    env: [...spec.env],
    hostname,
    ...(spec.rootfs && { rootfs: spec.rootfs }),
    interactive: spec.interactive,
    tty: spec.tty,
    remove: spec.remove,
    sandbox: sandbox.id,
    state: { status: 'created' },
  };
  await writeEtc(place.directory, { hostname, addresses: addressesOf(sandbox), resolvConfs });
  await journal.commit([{ kind: 'container', id, put: created }]);
  const { supervisor, command } = await startSupervisor(place, {
    mode: 'run',
    control: place.control,
    netns: sandbox.key,
    hostname,
    ...(spec.rootfs && { rootfs: spec.rootfs }),
    command: spec.command,
    env: formEnvironment(spec.env, { hostname, tty: spec.tty }),
    tty: spec.tty,
    ...(spec.size && { size: spec.size }),
    input: spec.interactive,
    logSize,
  });
  try {
    const container = runningAs(created, command);
    await journal.commit([{ kind: 'container', id, put: container }]);
    return { container, supervisor };
  } catch (error) {
    await supervisor.ask({ kind: 'signal', signal: sigkill });
    await supervisor.end;
    throw error;
  }
}

function placesOf(id: string, name: string, { network, ip, ip6, mac, aliases }: RunSpec) {
  if (network === undefined) return [];
  const wishes = { ...(ip && { ip }), ...(ip6 && { ip6 }), ...(mac && { mac }) };
  return [{ network, name, aliases: aliasesOf({ id }, aliases), ...wishes }];
}

function addressesOf({ endpoints, exit }: Sandbox): readonly string[] {
  const own = Array.from(endpoints.values(), ({ endpoint }) => endpoint.addresses).flat();
  return [...own, ...(exit?.addresses ?? [])].map((address) => address.replace(/\/\d+$/, ''));
}
