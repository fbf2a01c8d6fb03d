import { messageOf, Refusal } from '../lib/errors.ts';
import { examine, type Finding } from './doctor.ts';
import { readSettings } from './own-settings.ts';

/** `skein doctor` executes this. */
try {
  if (process.getuid?.() !== 0)
    throw new Refusal('forbidden', 'doctor needs root: it reads packet rules and tries the kernel');
  const { settings, own } = readSettings(process.argv.slice(2), ['format']);
  const findings = await examine(settings);
  const format = own.format === 'json' ? (finding: Finding) => JSON.stringify(finding) : formatFinding;
  process.stdout.write(findings.map((finding) => `${format(finding)}\n`).join(''));
  process.exit(findings.some(({ state }) => state === 'wrong') ? 1 : 0);
} catch (error) {
  process.stderr.write(`skein: ${messageOf(error)}\n`);
  process.exit(1);
}

function formatFinding({ state, about, finding, advice }: Finding): string {
  const line = `${state.padEnd(8)} ${about.padEnd(14)} ${printable(finding)}`;
  return advice === undefined ? line : `${line}\n${' '.repeat(24)}${printable(advice)}`;
}

/** Some of it was said by others. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ');
}
