import { messageOf } from '../lib/errors.ts';
import { openLog } from './log.ts';
import { readSettings } from './own-settings.ts';
import { runDaemon, tell } from './run.ts';
import { openDaemon } from './wire.ts';

/** `skein launch` executes this with its own flags, and in the background with `--ready-fd`. */
const args = process.argv.slice(2);
const ready = args.find((arg) => arg.startsWith('--ready-fd='))?.slice('--ready-fd='.length);
const readyFd = ready === undefined ? undefined : Number(ready);
try {
  const { settings } = readSettings(args, ['ready-fd']);
  const log = openLog(settings, process.stderr);
  // Whoever read the log may be gone; that is no reason to end.
  process.stderr.on('error', () => undefined);
  const code = await runDaemon({ settings, log, open: openDaemon, onReady: (failure) => tell(readyFd, failure) });
  process.exit(code);
} catch (error) {
  process.stderr.write(`skein: ${messageOf(error)}\n`);
  tell(readyFd, messageOf(error));
  process.exit(1);
}
