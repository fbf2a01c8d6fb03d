import { functionNames } from './functions.ts';
import type { Command, Node, Nodes, Operand, Pipe } from './nodes.ts';
import { refuseAt, shorten } from './refuse.ts';
import { type Token, tokensOf } from './tokens.ts';

const deepest = 64;
const blocks = ['if', 'with', 'range'] as const;
const unsupported = ['define', 'template', 'block'];

/** @throws Refusal 'invalid' naming the place */
export function parseNodes(template: string): Nodes {
  return new Parser(template).whole();
}

type Ending = 'end' | 'else';

class Parser {
  readonly #template: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;
  #ranges = 0;
  /** Those in sight; the first is the whole value. */
  readonly #variables = ['$'];

  constructor(template: string) {
    this.#template = template;
    this.#tokens = tokensOf(template);
  }

  whole(): Nodes {
    const { nodes, ending } = this.#nodes();
    if (ending !== undefined) throw this.#refuse(`unexpected {{${ending.text}}}`, ending);
    return nodes;
  }

  /** Up to the `{{end}}` or `{{else` that belongs to no block begun here, which is taken. */
  #nodes(): { nodes: Nodes; ending: Token | undefined } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#take();
      if (token.kind === 'end') return { nodes, ending: undefined };
      if (token.kind === 'text') nodes.push({ kind: 'text', text: token.text });
      else {
        const word = this.#peek();
        if (word.kind === 'identifier' && (word.text === 'end' || word.text === 'else')) {
          return { nodes, ending: this.#take() };
        }
        nodes.push(this.#action());
      }
    }
  }

  #action(): Node {
    const word = this.#peek();
    const block = word.kind === 'identifier' ? blocks.find((name) => name === word.text) : undefined;
    if (block !== undefined) {
      this.#take();
      return this.#block(block, word);
    }
    if (word.kind === 'identifier' && (word.text === 'break' || word.text === 'continue')) {
      this.#take();
      if (this.#ranges === 0) throw this.#refuse(`{{${word.text}}} outside {{range}}`, word);
      this.#close(word.text);
      return { kind: word.text };
    }
    if (word.kind === 'identifier' && unsupported.includes(word.text)) {
      throw this.#refuse(`{{${word.text}}} is not supported here`, word);
    }
    const pipe = this.#pipe('command', { range: false });
    this.#close('command');
    return { kind: 'print', pipe };
  }

  #block(kind: (typeof blocks)[number], start: Token): Node {
    const known = this.#variables.length;
    this.#enter(start);
    const pipe = this.#pipe(kind, { range: kind === 'range' });
    this.#close(kind);
    if (kind === 'range') this.#ranges += 1;
    const body = this.#nodes();
    if (kind === 'range') this.#ranges -= 1;
    const otherwise = this.#ending(body.ending, start, kind) === 'end' ? [] : this.#otherwise(start, kind);
    this.#depth -= 1;
    this.#variables.length = known;
    return { kind, pipe, body: body.nodes, otherwise };
  }

  /** What follows `{{else`: a block of the same kind that shares our `{{end}}`, or the rest. */
  #otherwise(start: Token, kind: (typeof blocks)[number]): Nodes {
    const word = this.#peek();
    if (word.kind === 'identifier' && word.text === kind && kind !== 'range') {
      this.#take();
      return [this.#block(kind, word)];
    }
    this.#close('else');
    const { nodes, ending } = this.#nodes();
    if (this.#ending(ending, start, kind) !== 'end') throw this.#refuse('expected {{end}}; found {{else}}', ending);
    return nodes;
  }

  #ending(token: Token | undefined, start: Token, kind: string): Ending {
    if (token === undefined) throw this.#refuse(`{{${kind}}} without {{end}}`, start);
    if (token.text === 'else') return 'else';
    this.#close('end');
    return 'end';
  }

  #pipe(context: string, { range }: { range: boolean }): Pipe {
    const { variables, declares } = this.#assignment(range);
    const commands: Command[] = [];
    for (;;) {
      commands.push(this.#command(context));
      const token = this.#peek();
      if (token.text !== '|' || token.kind !== 'mark') break;
      this.#take();
    }
    if (declares) this.#variables.push(...variables);
    return { variables, declares, commands };
  }

  #assignment(range: boolean): { variables: readonly string[]; declares: boolean } {
    const start = this.#next;
    const variables: string[] = [];
    while (this.#peek().kind === 'variable' && variables.length < 2) {
      const variable = this.#take();
      const mark = this.#peek();
      variables.push(variable.text);
      if (mark.text === ',' && range && variables.length === 1) this.#take();
      else if (mark.text === ':=' || mark.text === '=') {
        this.#take();
        if (mark.text === '=') for (const name of variables) this.#known(name, variable);
        return { variables, declares: mark.text === ':=' };
      } else break;
    }
    this.#next = start;
    return { variables: [], declares: false };
  }

  #command(context: string): Command {
    const first = this.#peek();
    const operands: Operand[] = [];
    for (let operand = this.#operand(); operand !== undefined; operand = this.#operand()) {
      operands.push(operand);
      const { kind, spaced, text } = this.#peek();
      if (!spaced && kind !== 'close' && !['|', ')'].includes(text)) throw this.#unexpected('operand');
    }
    const [head, ...args] = operands;
    const { kind, text } = this.#peek();
    if (kind !== 'close' && !(kind === 'mark' && ['|', ')'].includes(text))) throw this.#unexpected(context);
    if (head === undefined) throw this.#refuse(`missing value for ${context}`, first);
    if (head.kind === 'nil') throw this.#refuse('nil is not a command', first);
    return { operands: [head, ...args], at: head.at, source: this.#since(first) };
  }

  #operand(): Operand | undefined {
    const token = this.#peek();
    const base = this.#base(token);
    if (base === undefined) return undefined;
    const fields = token.kind === 'field' ? [token.text.slice(1)] : [];
    let { at } = token;
    for (let field = this.#peek(); field.kind === 'field' && !field.spaced; field = this.#peek()) {
      if (base.kind === 'constant' || base.kind === 'nil' || (base.kind === 'dot' && token.kind !== 'field')) {
        throw this.#refuse(`unexpected . after term ${JSON.stringify(shorten(token.text))}`, field);
      }
      this.#take();
      // As in Go, the first field behind a term is the place of them all.
      if (at === token.at) at = field.at;
      fields.push(field.text.slice(1));
    }
    return { ...base, fields, at, source: this.#since(token) };
  }

  #base(token: Token) {
    switch (token.kind) {
      case 'field':
        this.#take();
        return { kind: 'dot' } as const;
      case 'variable':
        this.#take();
        this.#known(token.text, token);
        return { kind: 'variable', name: token.text } as const;
      case 'number':
        this.#take();
        return { kind: 'constant', value: Number(token.text) } as const;
      case 'string':
        this.#take();
        return { kind: 'constant', value: this.#unquoted(token) } as const;
      case 'identifier':
        this.#take();
        return this.#named(token);
      case 'mark':
        if (token.text === '(') return this.#parenthesis(token);
        if (token.text !== '.') return undefined;
        this.#take();
        return { kind: 'dot' } as const;
      case 'text':
      case 'open':
      case 'close':
      case 'end':
        return undefined;
    }
  }

  #named(token: Token) {
    const { text } = token;
    if (text === 'true' || text === 'false') return { kind: 'constant', value: text === 'true' } as const;
    if (text === 'nil') return { kind: 'nil' } as const;
    if (!functionNames.includes(text)) {
      const dotted = /^\p{Lu}/u.test(text)
        ? `; a field is .${shorten(text)}`
        : `; there are: ${functionNames.join(' ')}`;
      throw this.#refuse(`function ${JSON.stringify(shorten(text))} not defined${dotted}`, token);
    }
    return { kind: 'function', name: text } as const;
  }

  #parenthesis(token: Token) {
    this.#take();
    this.#enter(token);
    const pipe = this.#pipe('parenthesized pipeline', { range: false });
    if (this.#peek().text !== ')') throw this.#refuse('unclosed left parenthesis', token);
    this.#take();
    this.#depth -= 1;
    return { kind: 'pipe', pipe } as const;
  }

  #unquoted(token: Token): string {
    const inside = token.text.slice(1, -1);
    if (token.text.startsWith('`')) return inside;
    return inside.replace(escapes, (whole, letter: string) => {
      const plain = letters.get(letter);
      if (plain !== undefined) return plain;
      const code = Number.parseInt(letter.slice(1), 16);
      if (letter.length > 1 && code <= 0x10ffff) return String.fromCodePoint(code);
      throw this.#refuse(`invalid escape ${whole} in a string`, token);
    });
  }

  #known(name: string, token: Token): void {
    if (!this.#variables.includes(name))
      throw this.#refuse(`undefined variable ${JSON.stringify(shorten(name))}`, token);
  }

  #enter(token: Token): void {
    this.#depth += 1;
    if (this.#depth > deepest) throw this.#refuse(`it is nested more than ${deepest} deep`, token);
  }

  #close(context: string): void {
    if (this.#peek().kind !== 'close') throw this.#unexpected(context);
    this.#take();
  }

  #since(token: Token): string {
    const last = this.#tokens[this.#next - 1] ?? token;
    return shorten(this.#template.slice(token.at, last.at + last.text.length));
  }

  #unexpected(context: string) {
    const token = this.#peek();
    const what = token.kind === 'close' ? '}}' : JSON.stringify(shorten(token.text));
    return this.#refuse(`unexpected ${what} in ${context}`, token);
  }

  #refuse(message: string, token: Token | undefined) {
    return refuseAt(this.#template, token?.at ?? this.#template.length, message);
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: 'end', text: '', at: this.#template.length, spaced: false };
  }

  #take(): Token {
    const token = this.#peek();
    this.#next += 1;
    return token;
  }
}

const escapes = /\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/gsu;
const letters = new Map(
  Object.entries({ n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v', '\\': '\\', '"': '"', "'": "'" }),
);
