/** Ways to run tests for who is not root: as root of a user namespace, and as a user who may not enter the clone. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = dirname(import.meta.dirname);

type Command = readonly [string, ...string[]];

/** A machine's own /run, and processes that all end with the first. */
const ownRun = 'mount -t tmpfs -o mode=755 tmpfs /run; ip link set lo up; exec "$@"';
const spaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private'];

/** Runs the command as root of a user namespace, with network, processes and /run of its own. */
export function inUserNamespace(command: readonly string[]): Command {
  return ['unshare', '--user', '--map-root-user', ...spaces, 'sh', '-euc', ownRun, 'sh', ...command];
}

/** Why there are no user namespaces for who the prefix makes of us, or undefined. */
export function refusal(prefix: (command: Command) => Command = (command) => command): string | undefined {
  return run(prefix(inUserNamespace(['true'])));
}

/** Someone with no rights at all, who finds the clone at another place. */
export interface Nobody {
  /** Theirs to write to. */
  readonly folder: string;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Where the clone is for them, and where commands run. */
  readonly clone: string;
  /** Runs the command as that user. */
  readonly as: (command: readonly string[]) => Command;
  /** Removes the folder. */
  close(): void;
}

const become = `
[ "$1" = "$2" ] || mount --bind "$1" "$2"
cd "$2"; uid=$3 gid=$4; shift 4
exec setpriv --reuid "$uid" --regid "$gid" --clear-groups -- "$@"
`;
const copy = 'tar -C "$1" --exclude=./.git -cf - . | tar -C "$2" -xf -; chmod -R a+rX "$2"';

/** Root's way to be nobody. Folders above the clone need not be open to them; if its own files are not, they get a copy. */
export function openNobody(): Nobody {
  // Not where TMPDIR points to: that may be root's own.
  const outer = mkdtempSync('/tmp/skein-nobody-');
  const [folder, clone] = [join(outer, 'tmp'), join(outer, 'clone')];
  const [uid, gid] = [idOf('-u'), idOf('-g')];
  chmodSync(outer, 0o755);
  for (const path of [folder, clone]) mkdirSync(path);
  chownSync(folder, uid, gid);
  const from =
    (source: string) =>
    (command: readonly string[]): Command => {
      const place = [source, clone, String(uid), String(gid)];
      return ['unshare', '--mount', '--propagation', 'private', 'sh', '-euc', become, 'sh', ...place, ...command];
    };
  const reads = run(from(root)(['sh', '-c', 'test -r src/cli/main.ts -a -x node_modules/.bin/node'])) === undefined;
  const failure = reads ? undefined : run(['sh', '-euc', copy, 'sh', root, clone]);
  if (failure !== undefined) throw new Error(`copy the clone for nobody: ${failure}`);
  const close = () => rmSync(outer, { recursive: true });
  return { folder, owner: { uid, gid }, clone, as: from(reads ? root : clone), close };
}

function idOf(flag: '-u' | '-g'): number {
  return Number(spawnSync('id', [flag, 'nobody'], { encoding: 'utf8' }).stdout);
}

/** Why it failed, or undefined. */
function run([program, ...args]: Command): string | undefined {
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return status === 0 ? undefined : (error?.message ?? stderr.trim());
}
