import { refuseAt } from './refuse.ts';

/** The words of a template: text, and what stands between `{{` and `}}`. */
export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** Where it begins in the template. */
  readonly at: number;
  /** Whether blanks part it from the word before. */
  readonly spaced: boolean;
}

export type TokenKind =
  | 'text'
  | 'open'
  | 'close'
  | 'field'
  | 'variable'
  | 'identifier'
  | 'number'
  | 'string'
  | 'mark'
  | 'end';

const longest = 16 * 1024;

const patterns: readonly (readonly [TokenKind, RegExp])[] = [
  ['string', /"(?:[^"\\\n]|\\[^\n])*"|`[^`]*`/y],
  ['number', /[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)(?![\p{L}\p{Nd}_.])/uy],
  ['field', /\.[\p{L}_][\p{L}\p{Nd}_]*/uy],
  ['variable', /\$[\p{L}\p{Nd}_]*/uy],
  ['identifier', /[\p{L}_][\p{L}\p{Nd}_]*/uy],
  ['mark', /:=|[.=,|()]/y],
];

/** @throws Refusal 'invalid' naming the place */
export function tokensOf(template: string): readonly Token[] {
  if (template.length > longest) throw refuseAt('', 0, `the template has more than ${longest} characters`);
  const tokens: Token[] = [];
  let at = 0;
  let trimNext = false;
  while (at < template.length) {
    const open = template.indexOf('{{', at);
    const end = open < 0 ? template.length : open;
    const trimBefore = open >= 0 && /^-[ \t\r\n]/.test(template.slice(open + 2, open + 4));
    const text = trimmed(template.slice(at, end), { start: trimNext, end: trimBefore });
    if (text !== '') tokens.push({ kind: 'text', text, at, spaced: false });
    if (open < 0) break;
    const inside = open + (trimBefore ? 4 : 2);
    const action = readComment(template, inside) ?? readAction(template, { open, inside, tokens });
    ({ at, trimNext } = action);
  }
  tokens.push({ kind: 'end', text: '', at: template.length, spaced: false });
  return tokens;
}

function trimmed(text: string, { start, end }: { start: boolean; end: boolean }): string {
  const from = start ? text.replace(/^[ \t\r\n]+/, '') : text;
  return end ? trimEnd(from) : from;
}

/** A regular expression would try at every blank. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && ' \t\r\n'.includes(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end);
}

interface Closed {
  readonly at: number;
  readonly trimNext: boolean;
}

/** A comment is a whole action. */
function readComment(template: string, inside: number): Closed | undefined {
  if (!template.startsWith('/*', inside)) return undefined;
  const end = template.indexOf('*/', inside + 2);
  if (end < 0) throw refuseAt(template, inside, 'unclosed comment');
  const closed = closeAt(template, end + 2);
  if (closed === undefined) throw refuseAt(template, inside, 'comment ends before closing delimiter');
  return closed;
}

function closeAt(template: string, at: number): Closed | undefined {
  if (template.startsWith('}}', at)) return { at: at + 2, trimNext: false };
  if (/^[ \t\r\n]-\}\}$/.test(template.slice(at, at + 4))) return { at: at + 4, trimNext: true };
  return undefined;
}

function readAction(
  template: string,
  { open, inside, tokens }: { open: number; inside: number; tokens: Token[] },
): Closed {
  tokens.push({ kind: 'open', text: '{{', at: open, spaced: false });
  let at = inside;
  for (let spaced = true; at < template.length; ) {
    const closed = closeAt(template, at);
    if (closed !== undefined) {
      tokens.push({ kind: 'close', text: '}}', at, spaced });
      return closed;
    }
    if (' \t\r\n'.includes(template.charAt(at))) {
      spaced = true;
      at += 1;
      continue;
    }
    const token = readToken(template, at, spaced);
    tokens.push(token);
    at += token.text.length;
    spaced = false;
  }
  throw refuseAt(template, open, 'unclosed action: }} is missing');
}

function readToken(template: string, at: number, spaced: boolean): Token {
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = at;
    const [text] = pattern.exec(template) ?? [];
    if (text !== undefined) return { kind, text, at, spaced };
  }
  const character = String.fromCodePoint(template.codePointAt(at) ?? 0);
  if (character === '"' || character === '`') throw refuseAt(template, at, 'unterminated quoted string');
  if (/[\d+-]/.test(character)) throw refuseAt(template, at, 'bad number syntax');
  throw refuseAt(template, at, `unexpected ${JSON.stringify(character)} in an action`);
}
