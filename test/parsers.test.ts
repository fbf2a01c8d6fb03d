import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { type Parser, parsers } from './parsers.ts';

const src = fileURLToPath(new URL('../src', import.meta.url));

/** What a parser may throw: each is told to whoever sent the input, or makes a loop skip it. */
const clear = new Set(['ParseError', 'DecodeError', 'Refusal', 'StoreError']);
/** No input that a parser takes may hold up the daemon for long: in milliseconds of this thread's work, whoever else works. */
const quick = 500;

test('every parser and decoder stands in the table', () => {
  const found = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !/\.(test|contract|testing)\.ts$/.test(file))
    .flatMap((file) => namesIn(readFileSync(join(src, file), 'utf8')).map((name) => `${file} ${name}`));
  assert.deepEqual(
    found.filter((name) => !(name in parsers)),
    [],
    'these are missing from test/parsers.ts',
  );
  assert.deepEqual(
    Object.keys(parsers).filter((name) => !found.includes(name)),
    [],
    'these are in test/parsers.ts and nowhere else',
  );
});

/** Exported functions `parse…` and `decode…`, and codecs that have a `decode`. */
function namesIn(source: string): readonly string[] {
  const functions = source.matchAll(/^export (?:async )?function ((?:parse|decode)[A-Z]\w*)/gm);
  const codecs = source.matchAll(/^export const (\w+)[^\n]*= \{\n(?:(?!^\}).*\n)*?^ {2}decode\b/gm);
  return [...functions, ...codecs].map(([, name = '']) => name);
}

for (const [name, parser] of Object.entries(parsers)) {
  test(`${name} reads its samples`, () => {
    assert.ok(parser.samples.length > 0);
    // One shape for all: what follows knows the kind.
    for (const input of parser.samples) parse(parser, input);
  });

  test(`${name} answers garbage quickly and clearly`, () => {
    for (const input of extremes(parser)) judge(parser, input);
    fc.assert(
      fc.property(garbage(parser), (input) => judge(parser, input)),
      { numRuns: 300 },
    );
  });
}

function parse(parser: Parser, input: unknown): unknown {
  switch (parser.kind) {
    case 'text':
      return typeof input === 'string' ? parser.parse(input) : assert.fail('not a text');
    case 'bytes':
      return input instanceof Uint8Array ? parser.parse(input) : assert.fail('not bytes');
    case 'json':
      return parser.parse(input);
  }
}

function judge(parser: Parser, input: unknown): void {
  const before = process.threadCpuUsage();
  try {
    parse(parser, input);
  } catch (error) {
    if (!(error instanceof Error) || !clear.has(error.name)) throw error;
    assert.ok(error.message.length < 2000, `a message of ${error.message.length} characters`);
  }
  const { user, system } = process.threadCpuUsage(before);
  const took = (user + system) / 1000;
  assert.ok(took < quick, `took ${took} ms of work`);
}

/** Long, deep, empty. */
function extremes(parser: Parser): readonly unknown[] {
  const long = 1_000_000;
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  switch (parser.kind) {
    case 'text':
      return [
        '',
        'a'.repeat(long),
        '1'.repeat(long),
        ':'.repeat(long),
        '{{'.repeat(100_000),
        ' '.repeat(long),
        deep,
        '\0',
        '\ud800',
      ];
    case 'bytes':
      return [
        new Uint8Array(),
        new Uint8Array(long),
        new Uint8Array(long).fill(255),
        Buffer.from(deep),
        ...parser.samples.flatMap(truncations),
      ];
    case 'json':
      return [
        undefined,
        null,
        0,
        '',
        'a'.repeat(long),
        [],
        {},
        Array(100_000).fill('a'),
        nested(5_000),
        JSON.parse('{"__proto__":{"a":1}}'),
      ];
  }
}

function truncations(bytes: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: Math.min(bytes.length, 256) }, (_, end) => bytes.subarray(0, end));
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = { value };
  return value;
}

function garbage(parser: Parser): fc.Arbitrary<unknown> {
  switch (parser.kind) {
    case 'text':
      return fc.oneof(
        fc.string(),
        fc.string({ unit: 'binary' }),
        fc.json(),
        mutated(
          parser.samples,
          fc.string({ maxLength: 8, unit: 'binary' }),
          (text, [at, , part]) => text.slice(0, at) + part,
        ),
        mutated(
          parser.samples,
          fc.string({ maxLength: 8 }),
          (text, [at, to, part]) => text.slice(0, at) + part + text.slice(to),
        ),
      );
    case 'bytes':
      return fc.oneof(
        fc.uint8Array({ maxLength: 256 }),
        mutated(parser.samples, fc.uint8Array({ minLength: 1, maxLength: 4 }), (bytes, [at, , part]) =>
          overwritten(bytes, at, part),
        ),
      );
    case 'json':
      return fc.oneof(
        fc.jsonValue(),
        fc
          .tuple(fc.constantFrom(...parser.samples), fc.nat(), fc.oneof(fc.jsonValue(), fc.string({ unit: 'binary' })))
          .map(([sample, at, part]) => replaced(sample, at, part)),
      );
  }
}

/** A sample, two places in it in order, and something to put there. */
function mutated<T extends string | Uint8Array, P>(
  samples: readonly T[],
  part: fc.Arbitrary<P>,
  put: (sample: T, change: readonly [number, number, P]) => T,
): fc.Arbitrary<T> {
  return fc.tuple(fc.constantFrom(...samples), fc.nat(), fc.nat(), part).map(([sample, one, other, piece]) => {
    const places = [one % (sample.length + 1), other % (sample.length + 1)].toSorted((a, b) => a - b);
    return put(sample, [places[0] ?? 0, places[1] ?? 0, piece]);
  });
}

function overwritten(bytes: Uint8Array, at: number, part: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy.set(part.subarray(0, copy.length - at), at);
  return copy;
}

/** The sample with one of its values, counted through all depths, replaced; undefined takes it away. */
function replaced(sample: unknown, at: number, part: unknown): unknown {
  const places: { readonly holder: Record<string, unknown>; readonly key: string }[] = [];
  const visit = (holder: Record<string, unknown>) => {
    for (const [key, value] of Object.entries(holder)) {
      places.push({ holder, key });
      if (typeof value === 'object' && value !== null) visit(value as Record<string, unknown>);
    }
  };
  const root = { sample: structuredClone(sample) };
  visit(root);
  const place = places[at % places.length];
  if (place) place.holder[place.key] = part === '' ? undefined : part;
  return root.sample;
}
