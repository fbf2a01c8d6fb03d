import { messageOf } from '../lib/errors.ts';
import { readSettings } from './own-settings.ts';
import { reset } from './reset.ts';

/** `skein reset` executes this. */
try {
  const args = process.argv.slice(2);
  const { settings, own } = readSettings(args, ['force']);
  const whole = await reset({
    settings,
    force: own.force !== undefined,
    say: (sentence) => process.stdout.write(`${sentence}\n`),
    complain: (sentence) => process.stderr.write(`skein: ${sentence}\n`),
  });
  process.exit(whole ? 0 : 1);
} catch (error) {
  process.stderr.write(`skein: ${messageOf(error)}\n`);
  process.exit(1);
}
