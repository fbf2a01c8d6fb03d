import type { Command, Option } from 'commander';
import { openProgram } from '../src/cli/commands.ts';
import { examples } from '../src/cli/examples.ts';
import { leavesOf, meaningOf, nameOf } from '../src/cli/manual.ts';
import { functionNames } from '../src/lib/template/functions.ts';

/** `docs/cli.md`, made from the commands' definitions. */
export async function formatCliPage(): Promise<string> {
  const program = await openProgram(() => true);
  return `# The command line

Made from the definitions in \`src/cli/\` by \`node scripts/write-docs.ts\`; a test compares. Names of flags, columns and exit
codes are Docker's, where Docker has them; Docker's flags that do not work yet are refused by name. The same text is in
\`--help\`, in \`skein help\`, and in the manual pages, which the package brings along and \`skein help --man DIRECTORY\` writes.

\`--format\` takes Go's templates: fields, variables, pipelines, \`if\`, \`else\`, \`with\`, \`range\`, \`break\`, \`continue\`,
\`{{- -}}\` and comments, with the functions ${functionNames.map((name) => `\`${name}\``).join(' ')};
not \`define\`, \`template\` and \`block\`. Lists also take \`json\` (an object a line) and \`table\` before a template, and
\`\\t\` and \`\\n\` outside of the braces. A label is \`{{.Label "key"}}\` in a list and \`{{index .Labels "key"}}\` in
\`inspect\`. \`--filter\` may repeat: values of one key are alternatives, names and ids are regular expressions, labels must all
be there.

${[program, ...leavesOf(program)].map(formatCommand).join('\n')}`;
}

function formatCommand(command: Command): string {
  const shown = command.createHelp().visibleOptions(command).filter(isOwn);
  const refused = command.options.filter(({ hidden }) => hidden).map((option) => `\`${option.long ?? option.short}\``);
  const operands = command.registeredArguments.filter(({ description }) => description !== '');
  const aliases = command.aliases().map((alias) => `\`${alias}\``);
  return `## ${nameOf(command)}

${command.description()}.${aliases.length === 0 ? '' : ` Also called ${aliases.join(' and ')}.`}

\`\`\`
${nameOf(command)} ${command.usage()}
\`\`\`

For example: \`${examples[nameOf(command)]}\`
${table('argument', [
  ...operands.map((operand) => [operand.name(), operand.description] as const),
])}${table('flag', [...shown.map((option) => [option.flags, meaningOf(option)] as const)])}${
  refused.length === 0 ? '' : `\nRefused as yet: ${refused.join(' ')}\n`
}`;
}

function isOwn({ long }: Option): boolean {
  return long !== '--help';
}

function table(head: string, rows: readonly (readonly [string, string])[]): string {
  if (rows.length === 0) return '';
  const lines = rows.map(([name, meaning]) => `| \`${name}\` | ${meaning.replaceAll('|', '\\|')} |`);
  return `\n| ${head} | what it says |\n| --- | --- |\n${lines.join('\n')}\n`;
}
