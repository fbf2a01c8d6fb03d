// Installs what is missing, and says what it does; quick where nothing is. Every `npm run` begins with it.
// Plain JavaScript for any Node from 18: the Node that runs everything else comes with the npm packages.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

let listsAreFresh = false;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (path) => join(root, path);

/**
 * The Node that is pinned, and where `npm run` finds it; npm 9 forgets the link when a package has a twin for another
 * machine.
 */
const pinnedNode = at(`node_modules/node-linux-${process.arch}/bin/node`);
const nodeLink = at('node_modules/.bin/node');

/** Debian packages by what they are used for; `there` is cheap. */
const debianPackages = [
  { name: 'iproute2', there: () => program('ip') && program('bridge') },
  { name: 'iputils-ping', there: () => program('ping') },
  { name: 'util-linux', there: () => program('unshare') && program('nsenter') },
  { name: 'nftables', there: () => program('nft') && library('libnftables.so.1') },
  { name: 'ethtool', there: () => program('ethtool') },
  { name: 'procps', there: () => program('sysctl') },
  { name: 'busybox', there: () => program('busybox') },
  { name: 'bind9-dnsutils', there: () => program('dig') },
  // Without the service of dnsmasq itself.
  { name: 'dnsmasq-base', there: () => program('dnsmasq') },
  { name: 'dnsperf', there: () => program('dnsperf') },
  { name: 'musl-tools', there: () => program('musl-gcc') },
  { name: 'gcc', there: () => program('cc') },
  { name: 'libc6-dev', there: () => existsSync('/usr/include/stdlib.h') },
];

function main() {
  if (process.platform !== 'linux') fail(`skein needs Linux, this is ${process.platform}`);
  const steps = [packages, debian, etcd, shim, holder];
  if (steps.every((step) => step(false))) return;
  const unlock = lock();
  try {
    for (const step of steps) step(true);
  } finally {
    unlock();
  }
}

// Each step below answers whether everything is there; with `act` it first installs what is not, or ends the program.

function packages(act) {
  if (samePackages()) return true;
  if (!act) return false;
  say('installing npm packages from package-lock.json');
  if (Number.parseInt(process.versions.node, 10) >= 24) npmCi(process.execPath);
  else {
    // An older Node would leave out what says that it needs a newer one, the checkers' programs among it.
    npmCi(process.execPath, '--workspace', 'tools/node');
    if (!existsSync(pinnedNode)) fail(`Node 24 is needed, this is ${process.versions.node} on ${process.arch}`);
    const node = at('.cache/node');
    copyFileSync(pinnedNode, node);
    npmCi(node);
    rmSync(node);
  }
  if (existsSync(pinnedNode) && !existsSync(nodeLink)) symlinkSync(relative(dirname(nodeLink), pinnedNode), nodeLink);
  return true;
}

function npmCi(node, ...more) {
  const npm = process.env.npm_execpath ?? npmInPath();
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', ...more];
  quietly(node, [npm, ...args], { what: 'npm ci' });
}

function npmInPath() {
  const npm = find('npm');
  return npm ? realpathSync(npm) : fail('missing: npm');
}

/** Whether node_modules holds what the lock file says; an optional package for another machine may be missing. */
function samePackages() {
  const installed = readLock(at('node_modules/.package-lock.json'));
  if (!installed || existsSync(pinnedNode) !== existsSync(nodeLink)) return false;
  const same = ([path, wanted]) => {
    if (wanted.link || !path.startsWith('node_modules/')) return true;
    const found = installed[path];
    return found ? found.version === wanted.version : wanted.optional === true && !isForUs(wanted);
  };
  return Object.entries(readLock(at('package-lock.json'))).every(same);
}

function isForUs({ os, cpu, libc }) {
  return Boolean(os?.includes('linux') && cpu?.includes(process.arch) && (!libc || libc.includes('glibc')));
}

function readLock(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

function debian(act) {
  const missing = debianPackages.filter(({ there }) => !there()).map(({ name }) => name);
  if (missing.length === 0) return true;
  if (!act) return false;
  const list = missing.join(' ');
  if (process.getuid() !== 0) fail(`missing: ${list}. Install them as root: apt-get install ${list}`);
  if (!program('apt-get')) fail(`missing, and there is no apt-get here: ${list} (Debian's names)`);
  updateLists();
  say(`installing Debian packages: ${list}`);
  apt(['install', '-y', '--no-install-recommends', ...missing]);
  return true;
}

/** Debian's etcd, unpacked beside us: nothing is installed and no service is touched. */
function etcd(act) {
  const folder = at('.cache/etcd');
  if (['etcd', 'etcdctl'].every((name) => existsSync(join(folder, 'usr/bin', name)))) return true;
  if (!act) return false;
  if (!program('apt-get')) fail('missing, and there is no apt-get here: etcd and etcdctl in .cache/etcd/usr/bin');
  if (process.getuid() === 0) updateLists();
  say('unpacking etcd into .cache/etcd');
  rmSync(folder, { recursive: true, force: true });
  const debs = join(folder, 'debs');
  mkdirSync(debs, { recursive: true });
  apt(['download', 'etcd-server', 'etcd-client'], debs);
  for (const deb of readdirSync(debs)) quietly('dpkg', ['-x', join(debs, deb), folder], { what: `dpkg -x ${deb}` });
  rmSync(debs, { recursive: true });
  return true;
}

/** The supervisor of containers. */
function shim(act) {
  return native('shim', act);
}

/** What keeps the sockets that outlive a daemon. */
function holder(act) {
  return native('holder', act);
}

/** One of our small C programs. */
function native(program, act) {
  const output = at(`build/skein-${program}`);
  const folder = at(`native/${program}`);
  const sources = [at('native/build.sh'), ...readdirSync(folder).map((name) => join(folder, name))];
  const built = existsSync(output) ? statSync(output).mtimeMs : 0;
  if (sources.every((source) => statSync(source).mtimeMs <= built)) return true;
  if (!act) return false;
  say(`building build/skein-${program}`);
  quietly('sh', [at('native/build.sh'), program, output], { what: 'native/build.sh' });
  return true;
}

function updateLists() {
  const lists = existsSync('/var/lib/apt/lists') ? readdirSync('/var/lib/apt/lists') : [];
  if (listsAreFresh || lists.some((name) => name.includes('_Packages'))) return;
  say('reading the lists of Debian packages');
  apt(['update']);
  listsAreFresh = true;
}

/** Runs apt-get; lists that are too old name packages that are gone, so it tries once more with new ones. */
function apt(args, cwd = root) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const all = ['-q', '-o', 'DPkg::Lock::Timeout=120', '-o', 'APT::Sandbox::User=root', ...args];
  const attempt = () => spawnSync('apt-get', all, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
  let result = attempt();
  if (result.status !== 0 && args[0] !== 'update' && !listsAreFresh && process.getuid() === 0) {
    say('reading the lists of Debian packages again');
    listsAreFresh = true;
    apt(['update']);
    result = attempt();
  }
  judge(result, `apt-get ${args.join(' ')}`);
}

/** What a program writes is shown only when it fails. */
function quietly(program, args, { what }) {
  judge(spawnSync(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' }), what);
}

function judge({ status, error, stdout, stderr }, what) {
  if (status === 0) return;
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  fail(`${what} failed${error ? `: ${error.message}` : ` with exit code ${status}`}`);
}

/** One set-up at a time: a second one waits for the first. */
function lock() {
  const file = at('.cache/setup.lock');
  mkdirSync(dirname(file), { recursive: true });
  const free = () => rmSync(file, { force: true });
  for (let waited = 0; ; waited++) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      process.once('exit', free);
      return free;
    } catch (error) {
      if (error.code !== 'EEXIST') fail(`cannot write ${file}: ${error.message}`);
    }
    if (!alive(file)) free();
    else if (waited === 0) say('waiting for another set-up to end');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

function alive(file) {
  try {
    process.kill(Number(readFileSync(file, 'utf8')), 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function program(name) {
  return find(name) !== undefined;
}

function find(name) {
  const folders = `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`.split(':');
  return folders.map((folder) => join(folder, name)).find((path) => path.startsWith('/') && existsSync(path));
}

function library(name) {
  const folders = ['/usr/lib', '/usr/lib64', '/lib', `/usr/lib/${triplet()}`];
  return folders.some((folder) => existsSync(join(folder, name)));
}

function triplet() {
  return `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
}

function say(line) {
  process.stderr.write(`setup: ${line}\n`);
}

function fail(line) {
  process.stderr.write(`setup: ${line}\n`);
  process.exit(1);
}

main();
