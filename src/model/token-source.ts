import { closeSync, openSync, readSync } from 'node:fs';
import { messageOf, ParseError, Refusal } from '../lib/errors.ts';
import { type JoinToken, parseTokenText } from './join-token.ts';

/** A join token, or where its text is: a secret on a command line is seen by everybody who lists processes. */
export type TokenSource = JoinToken | { readonly file: string | typeof standardInput };

const standardInput = 0;
/** Of a file that may be anything, in bytes. */
const longest = 4096;

/** The text of a token, `@FILE`, or `-` for the standard input. @throws ParseError, which does not quote a token */
export function parseTokenSource(text: string): TokenSource {
  if (text === '-') return { file: standardInput };
  if (!text.startsWith('@')) return parseTokenText(text);
  const file = text.slice(1);
  if (file === '' || file.includes('\0')) throw new ParseError('@ is followed by the path of the file with the token');
  return { file };
}

/** @throws Refusal when it cannot be read; ParseError when it holds no token */
export function readToken(source: TokenSource): JoinToken {
  if (!('file' in source)) return source;
  const { file } = source;
  const place = file === standardInput ? 'the standard input' : file;
  try {
    return parseTokenText(readText(file));
  } catch (cause) {
    if (cause instanceof ParseError) throw new ParseError(`${place}: ${cause.message}`, { cause });
    throw new Refusal('invalid', `cannot read the token from ${place}: ${messageOf(cause)}`, { cause });
  }
}

function readText(file: string | typeof standardInput): string {
  const fd = file === standardInput ? file : openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(longest);
    let length = 0;
    for (let read = -1; read !== 0 && length < longest; length += read)
      read = readSync(fd, bytes, length, longest - length, null);
    return bytes.toString('utf8', 0, length);
  } finally {
    if (fd !== standardInput) closeSync(fd);
  }
}
