import { messageOf } from '../lib/errors.ts';
import { openLog } from './log.ts';
import { readSettings } from './own-settings.ts';
import { runDaemon, tell } from './run.ts';
import { openDaemon, type Threads } from './wire.ts';

/** The daemon, to its end, with flags of `skein launch`, and in the background with `--ready-fd`. */
export async function serve(args: readonly string[], threads: Threads): Promise<never> {
  const ready = args.find((arg) => arg.startsWith('--ready-fd='))?.slice('--ready-fd='.length);
  const readyFd = ready === undefined ? undefined : Number(ready);
  try {
    const { settings } = readSettings(args, ['ready-fd']);
    const log = openLog(settings, process.stderr);
    // Whoever read the log may be gone; that is no reason to end.
    process.stderr.on('error', () => undefined);
    // The first opening takes them.
    let waiting: Threads | undefined = threads;
    const code = await runDaemon({
      ...{ settings, log },
      open: (init) => {
        const started = waiting;
        waiting = undefined;
        return openDaemon({ ...init, ...(started && { threads: started }) });
      },
      onReady: (failure) => tell(readyFd, failure),
    });
    process.exit(code);
  } catch (error) {
    process.stderr.write(`skein: ${messageOf(error)}\n`);
    tell(readyFd, messageOf(error));
    process.exit(1);
  }
}
