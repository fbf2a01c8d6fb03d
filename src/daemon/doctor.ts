import { existsSync, statSync } from 'node:fs';
import { access, constants, statfs } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { openClient, type StatusView, type WaitingView } from '../adapters/api/client.ts';
import { tryAbilities } from '../dataplane/abilities.ts';
import { formatGuest } from '../dataplane/foreign/chains.ts';
import { forwardingNeeds } from '../dataplane/foreign/forwarding.ts';
import { UNMANAGED_FILE } from '../dataplane/foreign/network-manager.ts';
import { lookAtGuests } from '../dataplane/foreign/open.ts';
import { changedSettings } from '../dataplane/host-settings.ts';
import { openSyscalls } from '../kernel/syscall.ts';
import { messageOf } from '../lib/errors.ts';
import { defaultDataPort } from '../model/cluster.ts';
import type { Settings } from '../model/settings.ts';
import { pathsOf } from './paths.ts';

/** One thing that was looked at. */
export interface Finding {
  /** `changed`: something of this host that is otherwise than it was without us, and is taken back by `skein reset`. */
  readonly state: 'ok' | 'changed' | 'warning' | 'wrong';
  readonly about: string;
  /** One sentence. */
  readonly finding: string;
  /** What to do. */
  readonly advice?: string;
}

const leastSpace = { bytes: 256 << 20, share: 0.02 } as const;
const patience = 10_000;
const clockSlack = 60_000;

/** Looks at this host, with its daemon and without; changes nothing. */
export async function examine(settings: Settings): Promise<readonly Finding[]> {
  const status = await ask(settings);
  const parts = [
    () => daemon(status, settings),
    () => (isReady(status) ? [...store(status), ...place(status), ...paths(status)] : []),
    () => disk(settings),
    () => clock(settings),
    () => guests(isReady(status) ? status.cluster.dataPort : (settings.dataPort ?? defaultDataPort)),
    () => changes(settings),
    () => kernel(),
  ];
  const found: Finding[] = [];
  for (const part of parts) found.push(...(await part()));
  return found;
}

type Said = StatusView | WaitingView | string;

function isReady(status: Said): status is StatusView {
  return typeof status !== 'string' && status.state === 'ready';
}

/** What the daemon says, or why it says nothing. */
async function ask(settings: Settings): Promise<Said> {
  try {
    const client = openClient(pathsOf(settings).socket);
    return await client.call('getStatus', {}, { signal: AbortSignal.timeout(patience) });
  } catch (error) {
    return messageOf(error);
  }
}

function paths(status: StatusView): readonly Finding[] {
  return status.paths.map(({ sentence }) => ({ state: 'wrong', about: 'underlay', finding: sentence }));
}

function daemon(status: Said, settings: Settings): readonly Finding[] {
  if (typeof status !== 'string') {
    const finding = `it answers, as process ${status.pid}, version ${status.version}`;
    if (status.state === 'ready') return [{ state: 'ok', about: 'daemon', finding }];
    const advice = 'connect it to one of them: skein connect HOST';
    return [{ state: 'warning', about: 'daemon', finding: `${finding}, and waits for others with its token`, advice }];
  }
  const advice = existsSync(pathsOf(settings).journal)
    ? 'start it with: skein launch --detach'
    : 'this host is in no cluster; begin one with skein launch --detach, or join one with the line that it prints on its hosts';
  return [{ state: 'wrong', about: 'daemon', finding: status, advice }];
}

function store({ store: { url, failingSince, lastError, members }, skipped }: StatusView): readonly Finding[] {
  const away = members.filter(({ healthy }) => !healthy).map((member) => member.url);
  const health: Finding =
    failingSince !== undefined
      ? {
          state: 'wrong',
          about: 'store',
          finding: `${url} has not answered since ${failingSince}: ${lastError ?? 'unknown reason'}`,
          advice: 'see that it runs and is reached from here; containers keep their traffic meanwhile',
        }
      : away.length > 0
        ? { state: 'warning', about: 'store', finding: `${away.join(', ')} of ${url} does not answer; the others do` }
        : { state: 'ok', about: 'store', finding: `${url} answers` };
  const unread = skipped.map(
    ({ place, reason }): Finding => ({
      state: 'warning',
      about: 'store',
      finding: `the record ${place} cannot be read: ${reason}`,
      advice: 'remove it with the tools of the store, if nobody needs it',
    }),
  );
  return [health, ...unread];
}

/** Whether the daemon's addresses are still this host's, and lead to the others. */
function place({ host, hosts }: StatusView): readonly Finding[] {
  const own = Object.entries(networkInterfaces()).flatMap(([name, list]) =>
    (list ?? []).map(({ address }) => ({ name, address })),
  );
  const at = own.find(({ address }) => address === host.data);
  const data: Finding = at
    ? { state: 'ok', about: 'underlay', finding: `${host.data} is an address of ${at.name}` }
    : {
        state: 'wrong',
        about: 'underlay',
        finding: `no interface that is up has ${host.data}, from which the packets of the overlays go`,
        advice: 'give it back to its interface, or start the daemon with another --cluster-advertise or --data-address',
      };
  const lost: Finding = {
    state: 'warning',
    about: 'hosts',
    finding: `${hosts.lost} of ${hosts.alive + hosts.lost} hosts are lost`,
    advice: 'see which with: skein host ls',
  };
  return [data, ...(hosts.lost > 0 ? [lost] : [])];
}

async function disk({ stateDir }: Settings): Promise<readonly Finding[]> {
  try {
    const { bavail, blocks, bsize } = await statfs(stateDir);
    await access(stateDir, constants.W_OK);
    const free = `${Math.floor((bavail * bsize) / (1 << 20))} MiB are free in ${stateDir}`;
    if (bavail * bsize < leastSpace.bytes || bavail / blocks < leastSpace.share)
      return [
        { state: 'warning', about: 'disk', finding: free, advice: 'make room: nothing can be attached on a full disk' },
      ];
    return [{ state: 'ok', about: 'disk', finding: free }];
  } catch (error) {
    if (!existsSync(stateDir)) return [];
    const advice = 'mount it so that it can be written';
    return [{ state: 'wrong', about: 'disk', finding: `${stateDir} cannot be used: ${messageOf(error)}`, advice }];
  }
}

/** What was written cannot be from the future. */
function clock(settings: Settings): readonly Finding[] {
  const written = statSync(pathsOf(settings).journal, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (written < Date.now() + clockSlack) return [];
  const finding = `it says ${new Date().toISOString()}, and the journal was written at ${new Date(written).toISOString()}`;
  return [{ state: 'wrong', about: 'clock', finding, advice: 'set the clock of this machine' }];
}

async function guests(port: number): Promise<readonly Finding[]> {
  try {
    const { there, missing, misplaced } = await lookAtGuests(port);
    return [
      ...there.map(
        (guest): Finding => ({ state: 'changed', about: "others' rules", finding: `added ${formatGuest(guest)}` }),
      ),
      ...missing.map(
        (guest): Finding => ({
          state: 'wrong',
          about: "others' rules",
          finding: `packets of the overlays are dropped: there is no ${formatGuest(guest)}`,
          advice:
            guest.table === 'firewalld'
              ? `if firewalld lets nobody else write there: firewall-cmd --permanent --add-port=${port}/udp, firewall-cmd --permanent --zone=trusted --add-interface=skein_gwbridge, firewall-cmd --reload`
              : 'the daemon adds it while it runs; see its log for why it could not',
        }),
      ),
      ...misplaced.map(
        (guest): Finding => ({
          state: 'wrong',
          about: "others' rules",
          finding: `a rule of ours stands in the wrong place of its chain, after what may drop or before what its user has said: ${formatGuest(guest)}`,
          advice: 'the daemon moves it while it runs; see its log for why it could not',
        }),
      ),
    ];
  } catch (error) {
    return [{ state: 'warning', about: "others' rules", finding: `they cannot be read: ${messageOf(error)}` }];
  }
}

async function changes({ stateDir }: Settings): Promise<readonly Finding[]> {
  const needs = await forwardingNeeds().catch(() => new Map<string, string>());
  const settings = changedSettings(stateDir).map(
    ({ path, was, is }): Finding => ({
      state: 'changed',
      about: 'settings',
      finding: `${path.replaceAll('/', '.')} is ${is} and was ${was}`,
      ...(needs.has(path) && { advice: `skein reset leaves it so: others need it (${needs.get(path)})` }),
    }),
  );
  const file: Finding = {
    state: 'changed',
    about: 'NetworkManager',
    finding: `it leaves our devices alone by ${UNMANAGED_FILE}`,
  };
  return [...settings, ...(existsSync(UNMANAGED_FILE) ? [file] : [])];
}

function kernel(): readonly Finding[] {
  const abilities = tryAbilities(openSyscalls());
  const missing = abilities.filter((ability) => ability.missing !== undefined);
  if (missing.length === 0) return [{ state: 'ok', about: 'kernel', finding: 'it has all that is needed' }];
  return missing.map(({ what, needed, missing: why }) => ({
    state: needed ? 'wrong' : 'warning',
    about: 'kernel',
    finding: `it has no ${what}: ${why}`,
    advice: "load the kernel's modules for it, and see that libnftables is installed",
  }));
}
