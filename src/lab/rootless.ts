import { spawnSync } from 'node:child_process';
import { accessSync, constants, lstatSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Refusal } from '../lib/errors.ts';

/**
 * Labs of people who are not root. Each lives in a user namespace in which its owner counts as root, and which its places
 * keep: whoever made it enters it through them, from any shell.
 */

/** More than one user in it where newuidmap and /etc/subuid give some: packages and databases change to users of theirs. */
const mappings = [['--map-root-user', '--map-auto'], ['--map-root-user']] as const;

/**
 * Replaces this program by itself as root of a new user namespace; who is root already goes on. Everything that it did
 * until now is done once more. @throws Refusal 'forbidden' when this machine has no user namespaces for this user
 */
export function becomeRoot(): void {
  if (process.getuid?.() === 0) return;
  let reason = '';
  for (const mapping of mappings) {
    const enter = ['--user', ...mapping];
    // Some machines give a user namespace without any power in it.
    const { status, stderr, error } = spawnSync('unshare', [...enter, '--mount', '--net', 'true'], {
      encoding: 'utf8',
    });
    if (status === 0) become(enter);
    reason = error ? error.message : stderr.trim();
  }
  throw new Refusal(
    'forbidden',
    `a lab needs root, or a user namespace, which this machine does not give (${reason}): see the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns`,
  );
}

function become(enter: readonly string[]): never {
  const program = findProgram('unshare');
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  process.removeAllListeners('warning');
  if (program === undefined || process.execve === undefined) {
    throw new Refusal('unsupported', 'a lab without root needs unshare in PATH, and Node 24');
  }
  return process.execve(program, [program, ...enter, '--', ...self], process.env);
}

function findProgram(name: string): string | undefined {
  const folders = `${process.env['PATH'] ?? ''}:/usr/bin:/bin`.split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find((path) => mayUse(path, constants.X_OK));
}

/** A socket's path has at most 107 bytes, and much is put behind this one. */
const longestRuntime = 32;

/** Where labs are kept: `/run/skein-lab` is root's. @throws Refusal 'forbidden' when it is someone else's */
export function labsFolder(): string {
  if (mayUse('/run', constants.W_OK)) return '/run/skein-lab';
  const runtime = process.env['XDG_RUNTIME_DIR'];
  if (runtime !== undefined && runtime.length <= longestRuntime && mayUse(runtime, constants.W_OK)) {
    return join(runtime, 'skein-lab');
  }
  const folder = `/tmp/skein-lab-${userOutside()}`;
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (found === undefined || (found.isDirectory() && found.uid === process.getuid?.())) return folder;
  throw new Refusal('forbidden', `${folder} is where your labs are kept, and it belongs to someone else`);
}

/** Who this process is to the machine, in a user namespace too. */
function userOutside(): number {
  const own = process.getuid?.() ?? 0;
  for (const line of readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n')) {
    const [inside = 0, outside = 0, count = 0] = line.trim().split(/\s+/).map(Number);
    if (own >= inside && own < inside + count) return outside + own - inside;
  }
  return own;
}

/** What `nsenter` needs besides, to enter namespaces that a process has in a user namespace other than ours. */
export function entering(pid: number): readonly string[] {
  const [own, its] = ['self', String(pid)].map((process) => {
    const { dev, ino } = statSync(`/proc/${process}/ns/user`);
    return `${dev}:${ino}`;
  });
  // Who made it is root in it without a change of user, and could not change the groups.
  return own === its ? [] : ['--user', '--preserve-credentials'];
}

function mayUse(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
