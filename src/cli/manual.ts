import type { Command, Option } from 'commander';
import { version } from '../model/version.ts';
import { examples } from './examples.ts';

/** Manual pages of section 1, made from the same definitions as `--help`: by file name. */
export function formatManual(program: Command): ReadonlyMap<string, string> {
  const commands = [program, ...leavesOf(program)];
  return new Map(commands.map((command) => [`${pageOf(command)}.1`, formatPage(command, commands)]));
}

export function leavesOf(command: Command): readonly Command[] {
  return command.commands.flatMap((inner) => (inner.commands.length === 0 ? [inner] : leavesOf(inner)));
}

/** `skein network create` */
export function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
}

/** What a flag says, its values and its default. */
export function meaningOf({ description, defaultValue, argChoices }: Option): string {
  const plain = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  const choices = argChoices === undefined ? '' : `: ${argChoices.join(' or ')}`;
  return `${description}${choices}${plain ? ` (${defaultValue})` : ''}`;
}

function pageOf(command: Command): string {
  return nameOf(command).replaceAll(' ', '-');
}

function formatPage(command: Command, all: readonly Command[]): string {
  const operands = command.registeredArguments.filter(({ description }) => description !== '');
  const others = all.filter((other) => other !== command && (command.parent === null || other.parent === null));
  return [
    `.TH "${pageOf(command).toUpperCase()}" "1" "" "skein ${version}" "Skein"`,
    '.SH NAME',
    `${escaped(pageOf(command))} \\- ${escaped(command.description())}`,
    '.SH SYNOPSIS',
    `.B ${escaped(nameOf(command))}`,
    escaped(command.usage()),
    ...section(
      'ARGUMENTS',
      operands.map((operand) => [operand.name(), operand.description]),
    ),
    ...section(
      'OPTIONS',
      command
        .createHelp()
        .visibleOptions(command)
        .map((option) => [option.flags, meaningOf(option)]),
    ),
    ...(command.parent === null
      ? section(
          'COMMANDS',
          leavesOf(command).map((inner) => [nameOf(inner), inner.description()]),
        )
      : []),
    '.SH EXAMPLE',
    '.nf',
    escaped(examples[nameOf(command)] ?? nameOf(command)),
    '.fi',
    '.SH SEE ALSO',
    others.map((other) => `.BR ${escaped(pageOf(other))} (1)`).join(',\n'),
    '',
  ].join('\n');
}

function section(title: string, rows: readonly (readonly [string, string])[]): readonly string[] {
  if (rows.length === 0) return [];
  return [`.SH ${title}`, ...rows.flatMap(([name, text]) => ['.TP', `.B ${escaped(name)}`, escaped(text)])];
}

/** Text that roff takes as text: no escape, no request at the begin of a line, hyphens that can be copied. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replace(/^\./, '\\&.')
    .replace(
      /[^\x20-\x7e]/gu,
      (character) => `\\[u${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
    );
}
