import { format, typeOf } from './values.ts';

const widest = 1000;

/** The part of Go's verbs that texts, numbers and booleans need. @throws Error */
export function formatPrintf(text: string, args: readonly unknown[]): string {
  let used = 0;
  const written = text.replace(
    /%([-+# 0]*)(\d*)(?:\.(\d*))?(.?)/gsu,
    (_, flags: string, width: string, precision: string | undefined, verb: string) => {
      if (verb === '%') return '%';
      if (verb === '') return '%!(NOVERB)';
      if (Number(width) > widest || Number(precision) > widest) throw new Error(`printf: wider than ${widest}`);
      if (used >= args.length) return `%!${verb}(MISSING)`;
      const arg = args[used];
      used += 1;
      return padded(formatVerb(verb, arg, { flags, precision }), { flags, width: Number(width), verb });
    },
  );
  const extra = args.slice(used).map((arg) => `${typeOf(arg)}=${format(arg)}`);
  return extra.length === 0 ? written : `${written}%!(EXTRA ${extra.join(', ')})`;
}

function formatVerb(
  verb: string,
  arg: unknown,
  { flags, precision }: { flags: string; precision: string | undefined },
): string {
  const sign = flags.includes('+') && typeof arg === 'number' && arg >= 0 ? '+' : '';
  const places = precision === undefined ? undefined : Number(precision);
  if (verb === 'v') return `${sign}${format(arg)}`;
  if (verb === 'T') return typeOf(arg);
  if (verb === 't' && typeof arg === 'boolean') return String(arg);
  if (verb === 's' && typeof arg !== 'number' && typeof arg !== 'boolean') {
    return Array.from(format(arg)).slice(0, places).join('');
  }
  if (verb === 'q' && typeof arg === 'string') return JSON.stringify(arg);
  if (typeof arg === 'string' && /[xX]/.test(verb)) return inCase(verb, Buffer.from(arg).toString('hex'));
  if (typeof arg === 'number') {
    if (Number.isInteger(arg)) {
      if (verb === 'd') return `${sign}${arg}`;
      if (verb === 'c') return String.fromCodePoint(Math.max(0, Math.min(arg, 0x10ffff)));
      const base = { x: 16, X: 16, o: 8, b: 2 }[verb];
      if (base !== undefined) return `${sign}${inCase(verb, arg.toString(base))}`;
    }
    if (verb === 'f') return `${sign}${arg.toFixed(Math.min(places ?? 6, 100))}`;
    if (verb === 'g') return `${sign}${arg}`;
  }
  return `%!${verb}(${typeOf(arg)}=${format(arg)})`;
}

function inCase(verb: string, text: string): string {
  return verb === 'X' ? text.toUpperCase() : text;
}

function padded(text: string, { flags, width, verb }: { flags: string; width: number; verb: string }): string {
  const missing = width - Array.from(text).length;
  if (missing <= 0) return text;
  if (flags.includes('-')) return text + ' '.repeat(missing);
  if (!flags.includes('0') || verb === 's' || verb === 'q') return ' '.repeat(missing) + text;
  const [, sign = '', digits = ''] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  return `${sign}${'0'.repeat(missing)}${digits}`;
}
