import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { benches, isBench } from './benches.ts';

/**
 * `npm run bench -- NAME`. The bench itself runs in network, mount and process namespaces of its own: however it ends,
 * also by SIGKILL, the kernel ends its processes and takes its namespaces and mounts away.
 */
const [name, ...rest] = process.argv.slice(2);
if (!isBench(name) || rest.length > 0) {
  const lines = Object.entries(benches).map(([known, { sentence }]) => `  ${known.padEnd(10)} ${sentence}`);
  console.error(`usage: npm run bench -- NAME\n\n${lines.join('\n')}`);
  process.exitCode = 2;
} else if (process.getuid?.() !== 0) {
  console.error('bench: it makes network namespaces: run it as root');
  process.exitCode = 1;
} else {
  process.exitCode = await runApart(name);
}

async function runApart(bench: string): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'skein-bench-'));
  // The first process of a process namespace has to reap what others leave: a shell does.
  const first = 'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && "$@"; exit $?';
  const inside = [process.execPath, fileURLToPath(new URL('inside.ts', import.meta.url)), bench];
  const apart = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('unshare', [...apart, 'sh', '-c', first, 'sh', ...inside], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, TMPDIR: folder },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill('SIGKILL'));
  try {
    const [code] = await once(child, 'exit');
    return typeof code === 'number' ? code : 130;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
