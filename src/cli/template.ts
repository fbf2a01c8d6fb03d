import { Refusal } from '../lib/errors.ts';

/**
 * The part of Go's templates that people use with Docker: `{{.Id}}`, `{{.A.B}}`, `{{json .X}}`, `{{index .X "key"}}` and
 * `{{range .X}}…{{end}}`, with text between them. `json` alone stands for the whole value.
 */
export type Template = (value: unknown) => string;

type Part = { kind: 'text'; text: string } | { kind: 'do'; words: readonly string[]; source: string };

/** @throws Refusal 'invalid' saying what is not understood */
export function parseTemplate(text: string): Template {
  if (text === 'json') return (value) => JSON.stringify(value);
  const parts = split(text.replaceAll('\\t', '\t').replaceAll('\\n', '\n'));
  const { template, rest } = sequence(parts, { within: false });
  if (rest.length > 0) throw refuse('{{end}} without {{range}}');
  return template;
}

function split(text: string): Part[] {
  const parts: Part[] = [];
  let left = text;
  for (;;) {
    const open = left.indexOf('{{');
    if (open < 0) return [...parts, { kind: 'text', text: left }];
    const close = left.indexOf('}}', open);
    if (close < 0) throw refuse(`${JSON.stringify(left.slice(open, open + 40))} is not closed`);
    const source = left.slice(open + 2, close).trim();
    const words = source.match(/"[^"]*"|\S+/g) ?? [];
    parts.push({ kind: 'text', text: left.slice(0, open) }, { kind: 'do', words, source });
    left = left.slice(close + 2);
  }
}

function sequence(
  parts: readonly Part[],
  { within }: { within: boolean },
): { template: Template; rest: readonly Part[] } {
  const steps: Template[] = [];
  let left = parts;
  for (let part = left[0]; part !== undefined; part = left[0]) {
    left = left.slice(1);
    if (part.kind === 'text') {
      const { text } = part;
      steps.push(() => text);
    } else if (part.words[0] === 'end') {
      if (!within) throw refuse('{{end}} without {{range}}');
      return { template: join(steps), rest: left };
    } else if (part.words[0] === 'range') {
      const path = parsePath(part.words[1], part.source);
      const inner = sequence(left, { within: true });
      left = inner.rest;
      steps.push((value) =>
        Object.values(Object(at(value, path)))
          .map(inner.template)
          .join(''),
      );
    } else steps.push(parseAction(part.words, part.source));
  }
  if (within) throw refuse('{{range}} without {{end}}');
  return { template: join(steps), rest: [] };
}

function join(steps: readonly Template[]): Template {
  return (value) => steps.map((step) => step(value)).join('');
}

function parseAction(words: readonly string[], source: string): Template {
  const [first, second, third] = words;
  if (words.length === 1) {
    const path = parsePath(first, source);
    return (value) => show(at(value, path));
  }
  if (first === 'json' && words.length === 2) {
    const path = parsePath(second, source);
    return (value) => JSON.stringify(at(value, path));
  }
  const key = /^"(.*)"$/.exec(third ?? '')?.[1];
  if (first === 'index' && words.length === 3 && key !== undefined) {
    const path = parsePath(second, source);
    return (value) => show(at(value, [...path, key]));
  }
  throw refuse(
    `{{${source}}} is not understood: there are {{.Field}}, {{json .Field}}, {{index .Field "key"}} and {{range .Field}}…{{end}}`,
  );
}

function parsePath(word: string | undefined, source: string): readonly string[] {
  if (word === undefined || !/^\.(\w+(\.\w+)*)?$/.test(word))
    throw refuse(`{{${source}}} names no field such as .Name`);
  return word.split('.').filter((name) => name !== '');
}

function at(value: unknown, path: readonly string[]): unknown {
  let current = value;
  for (const name of path) {
    const fields = typeof current === 'object' && current !== null ? new Map(Object.entries(current)) : new Map();
    if (!fields.has(name)) {
      throw refuse(
        `there is no ${name} in ${path.length > 1 ? `.${path.join('.')}` : 'it'}; there are: ${[...fields.keys()].join(', ')}`,
      );
    }
    current = fields.get(name);
  }
  return current;
}

/** As Go prints it. */
function show(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`;
  if (typeof value === 'object' && value !== null) {
    return `map[${Object.entries(value)
      .map(([name, field]) => `${name}:${show(field)}`)
      .join(' ')}]`;
  }
  return String(value);
}

function refuse(message: string): Refusal {
  return new Refusal('invalid', `the template: ${message}`);
}
