import { ParseError } from '../lib/errors.ts';

/**
 * A page of `docs/walkthroughs/`: text, and blocks of commands with what they answer. The demo walks it and a test does,
 * so that what the page shows is what happens.
 *
 *     ```console
 *     h1# skein network ls
 *     NETWORK ID     NAME   DRIVER    SCOPE
 *     3d430f3338a2   demo   overlay   global
 *     ```
 *
 * A command line begins with the host's name, and goes on behind a `\`. What differs from run to run is compared for what
 * it is: ids for being the same one wherever they come again, also shortened and in commands; times, process ids and
 * interface indexes not at all. `…` stands for anything in a line, alone on a line for any lines. A paragraph behind `>`
 * speaks of the page itself and is no part of the walk.
 */
export type Part =
  | { readonly kind: 'heading'; readonly text: string; readonly line: number }
  | { readonly kind: 'text'; readonly text: string; readonly line: number }
  | {
      readonly kind: 'command';
      readonly host: string;
      readonly command: string;
      readonly output: string;
      readonly line: number;
    };

const most = { page: 256 * 1024, lines: 10_000 } as const;
const prompt = /^([a-z][a-z0-9-]{0,31})# (.+)$/;

/** @throws ParseError */
export function parseWalkthrough(page: string): readonly Part[] {
  if (page.length > most.page) throw new ParseError(`the page has more than ${most.page} characters`);
  const lines = page.split('\n');
  if (lines.length > most.lines) throw new ParseError(`the page has more than ${most.lines} lines`);
  const parts: Part[] = [];
  let text: string[] = [];
  const flush = (line: number) => {
    if (text.length > 0) parts.push({ kind: 'text', text: text.join(' '), line: line - text.length });
    text = [];
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? '';
    const block = /^```(\w*)$/.exec(line);
    if (block || /^[#>]/.test(line) || line.trim() === '') flush(i + 1);
    if (block) {
      const end = lines.indexOf('```', i + 1);
      if (end < 0) throw new ParseError(`line ${i + 1}: the block has no end`);
      if (block[1] === 'console') parts.push(...parseBlock(lines.slice(i + 1, end), i + 2));
      i = end;
    } else if (line.startsWith('>')) continue;
    else if (line.startsWith('#')) parts.push({ kind: 'heading', text: line.replace(/^#+\s*/, ''), line: i + 1 });
    else if (line.trim() !== '') text.push(line.trim());
  }
  flush(lines.length + 1);
  return parts;
}

function parseBlock(lines: readonly string[], first: number): readonly Part[] {
  const parts: (Part & { kind: 'command' })[] = [];
  for (let i = 0; i < lines.length; i++) {
    const start = prompt.exec(lines[i] ?? '');
    if (!start) throw new ParseError(`line ${first + i}: a block of commands begins with a line such as h1# skein ps`);
    const [, host = '', head = ''] = start;
    const line = first + i;
    const command = [head];
    while (command.at(-1)?.endsWith('\\') && i + 1 < lines.length) command.push(lines[++i] ?? '');
    const output: string[] = [];
    while (i + 1 < lines.length && !prompt.test(lines[i + 1] ?? '')) output.push(lines[++i] ?? '');
    parts.push({ kind: 'command', host, command: command.join('\n'), output: output.join('\n'), line });
  }
  return parts;
}

/** What differs from run to run: what it looks like, the first that matches at a place. */
const kinds = {
  any: '…',
  time: String.raw`\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)`,
  id: '(?<![0-9A-Za-z])[0-9a-f]{10,64}(?![0-9A-Za-z])',
  key: '[A-Za-z0-9+/]{43}=',
  duration: String.raw`\b\d+(?:\.\d+)? ?(?:ms|s)\b`,
  ago: String.raw`\b(?:Less than a|About an?|\d+) (?:second|minute|hour)s?\b`,
  index: String.raw`(?:(?<=^)|(?<=@if))\d+(?=:)`,
} as const;

const variable = new RegExp(
  Object.entries(kinds)
    .map(([kind, looks]) => `(?<${kind}>${looks})`)
    .join('|'),
  'g',
);

/** Ids of the page and of this run, which is which. */
export class Ids {
  readonly #here = new Map<string, string>();
  readonly #there = new Map<string, string>();

  /** Whether the page's id can be this run's: each stands for one other throughout. Ids are told apart by 10 digits. */
  pair(page: string, run: string): boolean {
    const [from, to] = [page.slice(0, 10), run.slice(0, 10)];
    if (page.length !== run.length) return false;
    if (!this.#here.has(from) && !this.#there.has(to)) {
      this.#here.set(from, run);
      this.#there.set(to, page);
    }
    // A longer one that comes later is the better one to write.
    if ((this.#here.get(from) ?? '').length < run.length) this.#here.set(from, run);
    return this.#here.get(from)?.slice(0, 10) === to && this.#there.get(to)?.slice(0, 10) === from;
  }

  /** The page's text with this run's ids. @throws Error when a longer one is asked for than was seen */
  translate(text: string): string {
    return text.replace(new RegExp(kinds.id, 'g'), (id) => {
      const known = this.#here.get(id.slice(0, 10));
      if (known === undefined) return id;
      if (known.length < id.length) throw new Error(`only ${known.length} digits of the id ${id} have been seen`);
      return known.slice(0, id.length);
    });
  }
}

/** The first line of the page's output that this run's is not, or undefined when they agree. */
export function disagreement(page: string, run: string, ids: Ids): string | undefined {
  const wanted = trimmed(page);
  const found = trimmed(run);
  let at = 0;
  for (let i = 0; i < wanted.length; i++) {
    const want = wanted[i] ?? '';
    if (want.trim() === '…') {
      const next = wanted[i + 1];
      if (next === undefined) return undefined;
      while (at < found.length && !agrees(next, found[at] ?? '', ids)) at++;
      continue;
    }
    const got = found[at++];
    if (got === undefined) return `the page goes on with ${JSON.stringify(want)}, this run does not`;
    if (!agrees(want, got, ids)) return `the page says ${JSON.stringify(want)}, this run ${JSON.stringify(got)}`;
  }
  const more = found[at];
  return more === undefined ? undefined : `this run goes on with ${JSON.stringify(more)}, the page does not`;
}

function trimmed(text: string): readonly string[] {
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd());
  return lines.length === 1 && lines[0] === '' ? [] : lines;
}

/** What varies may be wider or narrower, so a gap of several spaces is as good as any other. */
function agrees(page: string, run: string, ids: Ids): boolean {
  const wanted: { kind: keyof typeof kinds; text: string }[] = [];
  const pattern: string[] = [];
  let end = 0;
  for (const found of page.matchAll(variable)) {
    const kind = kindOf(found.groups);
    pattern.push(literally(page.slice(end, found.index)), `(${kind === 'any' ? '.*' : kinds[kind]})`);
    wanted.push({ kind, text: found[0] });
    end = found.index + found[0].length;
  }
  pattern.push(literally(page.slice(end)));
  const match = new RegExp(`^${pattern.join('')}$`).exec(run);
  if (!match) return false;
  return wanted.every(({ kind, text }, i) => kind !== 'id' || ids.pair(text, match[i + 1] ?? ''));
}

function kindOf(groups: Readonly<Record<string, string | undefined>> | undefined): keyof typeof kinds {
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) if (groups?.[kind] !== undefined) return kind;
  return 'any';
}

function literally(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&').replaceAll(/ {2,}/g, ' +');
}
