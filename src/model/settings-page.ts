import { namesOf, type Setting, settingKeys, settings, settingsFile } from './settings.ts';

/** `docs/settings.md`, made from the table. */
export function formatSettingsPage(): string {
  const rows = settingKeys.map((key) => {
    const { short, value, many, sentence, default: preset, unset, negated = false }: Setting = settings[key];
    const { flag, variable, fileKey } = namesOf(key);
    const operand = negated ? '' : ` ${value.toUpperCase()}`;
    const flags = `${short === undefined ? '' : `\`-${short}\`, `}\`--${flag}${operand}\``;
    const initial = preset.length === 0 ? (unset ?? '') : formatDefault(preset);
    return [`${flags}${many ? ' (may repeat)' : ''}`, `\`${variable}\``, `\`${fileKey}\``, sentence, initial];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return `# Settings of the daemon

Made from \`src/model/settings.ts\` by \`node scripts/write-docs.ts\`; a test compares.

A flag of \`skein launch\` beats the environment, which beats \`${settingsFile}\`, which beats the default. Keys of the file
that are no settings are refused. What may be given several times is a list in the file and separated by spaces in the
environment.

${[
  line(['flag', 'environment', 'file', 'what it says', 'default']),
  line(['---', '---', '---', '---', '---']),
  ...rows.map(line),
].join('\n')}
`;
}

function formatDefault(preset: readonly string[]): string {
  const [first = '', ...others] = preset;
  const last = others.at(-1);
  if (last === undefined) return `\`${first}\``;
  return others.length < 3 ? preset.map((text) => `\`${text}\``).join(' ') : `\`${first}\` … \`${last}\``;
}
