import { openWorld, shell } from './world.testing.ts';

/**
 * A process that runs a container, or runs it and restarts it by hand, and is killed at a commit:
 * `doomed-daemon.testing.ts DIRECTORY SHIM SCRIPT MOMENT [restart]`.
 */
const [directory = '', shim = '', script = '', moment = '', then] = process.argv.slice(2);
let commits = 0;

async function dieIf(now: string): Promise<void> {
  if (now !== moment) return;
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => undefined);
}

const { containers } = await openWorld(directory, shim, (commit) => async (changes) => {
  commits += 1;
  const mine = commits;
  await dieIf(`before commit ${mine}`);
  await commit(changes);
  await dieIf(`after commit ${mine}`);
});
const { id } = await containers.run(shell(script, { name: 'doomed', remove: then === 'restart' }));
if (then === 'restart') await containers.restart(id, { seconds: 0 });
