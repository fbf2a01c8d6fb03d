import { Refusal } from '../lib/errors.ts';
import { print } from './session.ts';
import { formatTable } from './table.ts';

/** A list as Docker's `ls` commands print it: as a table, as ids (`-q`), or by a template. */
export interface Listing<Row extends object> {
  readonly rows: readonly Row[];
  /** Of every field that a template may name. */
  readonly headers: Readonly<Record<keyof Row & string, string | ((key: unknown) => string)>>;
  /** The fields of the table. */
  readonly columns: readonly (keyof Row & string)[];
  /** The field that `-q` prints. */
  readonly id: keyof Row & string;
}

export interface ListingOptions {
  readonly quiet?: boolean;
  /** `table`, `json` (one line a row), a template, or `table` and a template. */
  readonly format?: string;
}

/** What every list takes. */
export interface ListOptions extends ListingOptions {
  readonly trunc: boolean;
  readonly filter: readonly string[];
}

/** @throws Refusal 'invalid' for a template that is none */
export async function printListing<Row extends object>(
  { rows, headers, columns, id }: Listing<Row>,
  { quiet = false, format = 'table' }: ListingOptions,
): Promise<void> {
  if (quiet) print(rows.map((row) => `${String(row[id])}\n`).join(''));
  else if (format === 'table') {
    const cells = rows.map((row) => columns.map((column) => String(row[column])));
    print(
      formatTable(
        columns.map((column) => String(headers[column])),
        cells,
      ),
    );
  } else {
    const { headerTemplate, parseTemplate } = await import('../lib/template/template.ts');
    const text = unescaped(format.replace(/^table(?=\s|\{)/, '').trim());
    const template = parseTemplate(text);
    const lines = rows.map((row) => template(row));
    if (!/^table(?=\s|\{)/.test(format)) print(lines.map((line) => `${line}\n`).join(''));
    else
      print(
        formatTable(
          headerTemplate(text)(headers).split('\t'),
          lines.map((line) => line.split('\t')),
        ),
      );
  }
}

/** In lists, `\t` and `\n` outside of actions are a tab and a line break, as in Docker's. */
function unescaped(format: string): string {
  return format.replace(/\{\{[\s\S]*?\}\}|\\[tn]/g, (found) => ({ '\\t': '\t', '\\n': '\n' })[found] ?? found);
}

export type Filters<Key extends string> = { readonly [K in Key]?: readonly string[] };

const longestFilter = 1024;
const mostFilters = 64;
const expressions: readonly string[] = ['id', 'name', 'address', 'network'];

/** Of `--filter KEY=VALUE`, given several times: the values of each key. @throws Refusal 'invalid' */
export function parseFilters<const Key extends string>(texts: readonly string[], keys: readonly Key[]): Filters<Key> {
  if (texts.length > mostFilters) throw new Refusal('invalid', `more than ${mostFilters} filters`);
  const filters: { [K in Key]?: string[] } = {};
  for (const text of texts) {
    if (text.length > longestFilter) throw new Refusal('invalid', `a filter has more than ${longestFilter} characters`);
    const equals = text.indexOf('=');
    if (equals < 0) throw new Refusal('invalid', `bad format of filter ${quote(text)} (expected name=value)`);
    const name = text.slice(0, equals).trim().toLowerCase();
    const key = keys.find((known) => known === name);
    if (key === undefined) throw new Refusal('invalid', `invalid filter ${quote(name)}; there are: ${keys.join(', ')}`);
    const value = text.slice(equals + 1).trim();
    if (expressions.includes(key)) expression(value);
    filters[key] = [...(filters[key] ?? []), value];
  }
  return filters;
}

/** Whether one of the texts is one of the values, or holds it as a regular expression. @throws Refusal 'invalid' */
export function matches(values: readonly string[] | undefined, ...texts: readonly string[]): boolean {
  if (values === undefined) return true;
  return values.some((value) => texts.some((text) => text === value || expression(value).test(text)));
}

export function isOneOf(values: readonly string[] | undefined, text: string): boolean {
  return values?.includes(text) ?? true;
}

/** Whether all are there: `key`, or `key=value`. */
export function hasLabels(values: readonly string[] | undefined, labels: Readonly<Record<string, string>>): boolean {
  return (values ?? []).every((wanted) => {
    const equals = wanted.indexOf('=');
    if (equals < 0) return Object.hasOwn(labels, wanted);
    const key = wanted.slice(0, equals);
    return Object.hasOwn(labels, key) && labels[key] === wanted.slice(equals + 1);
  });
}

/** @throws Refusal 'invalid' when a value is none of those that exist */
export function requireOneOf(key: string, values: readonly string[] | undefined, known: readonly string[]): void {
  const strange = values?.find((value) => !known.includes(value));
  if (strange === undefined) return;
  throw new Refusal('invalid', `invalid filter ${quote(`${key}=${strange}`)}; there are: ${known.join(', ')}`);
}

function expression(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new Refusal('invalid', `${quote(text)} is not a regular expression`, { cause });
  }
}

function quote(text: string): string {
  return `'${text.length > 80 ? `${text.slice(0, 80)}…` : text}'`;
}

/** Labels as lists show them, and as templates ask for one of them: `{{.Label "key"}}`. */
export function labelFields(labels: Readonly<Record<string, string>>) {
  return {
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
    Label: (key: unknown) => (typeof key === 'string' && Object.hasOwn(labels, key) ? labels[key] : ''),
  };
}

/** The header of one label is the last part of its key, as in Docker's. */
export const labelHeaders = {
  Labels: 'LABELS',
  Label: (key: unknown) => String(key).replace(/^.*\./, '').replaceAll(/[-_]/g, ' '),
} as const;
