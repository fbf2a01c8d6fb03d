import { Refusal } from '../errors.ts';
import { type Callable, functions, headerFunctions, rangeOf } from './functions.ts';
import type { Command, Node, Nodes, Operand, Pipe } from './nodes.ts';
import { parseNodes } from './parse.ts';
import { refuseAt, shorten } from './refuse.ts';
import { format, formatJson, isStruct, isTrue, Output, typeOf } from './values.ts';

/**
 * The part of Go's text/template that people use with Docker, with Docker's functions: fields, variables, pipelines, `if`,
 * `with`, `range`, trimming, comments. A function in a struct is a method. Not `define`, `template`, `block`. `json`
 * alone is the whole value.
 */
export type Template = (value: unknown) => string;

const mostSteps = 1_000_000;

/** The template throws Refusal 'invalid' too, for what only the value shows. @throws Refusal 'invalid' naming the place */
export function parseTemplate(text: string): Template {
  if (text === 'json') return formatJson;
  const nodes = parseNodes(text);
  return (value) => new Run(text, value, functions).write(nodes);
}

/** What a template of rows makes of the headers of their fields. @throws as `parseTemplate` */
export function headerTemplate(text: string): Template {
  const nodes = parseNodes(text);
  return (headers) => new Run(text, headers, headerFunctions).write(nodes);
}

interface Variable {
  readonly name: string;
  value: unknown;
}

class Run {
  readonly #template: string;
  readonly #functions: ReadonlyMap<string, Callable>;
  readonly #output = new Output();
  readonly #variables: Variable[];
  #steps = 0;

  constructor(template: string, value: unknown, known: ReadonlyMap<string, Callable>) {
    this.#template = template;
    this.#functions = known;
    this.#variables = [{ name: '$', value }];
  }

  write(nodes: Nodes): string {
    this.#walk(nodes, this.#variables[0]?.value);
    return this.#output.text();
  }

  /** @returns how a loop goes on, where a node says so */
  #walk(nodes: Nodes, dot: unknown): 'break' | 'continue' | undefined {
    for (const node of nodes) {
      this.#step();
      const said = this.#node(node, dot);
      if (said !== undefined) return said;
    }
    return undefined;
  }

  #node(node: Node, dot: unknown): 'break' | 'continue' | undefined {
    switch (node.kind) {
      case 'text':
        this.#print(node.text);
        return undefined;
      case 'print': {
        const value = this.#pipe(node.pipe, dot);
        if (node.pipe.variables.length === 0)
          this.#print(value === undefined || value === null ? '<no value>' : format(value));
        return undefined;
      }
      case 'break':
      case 'continue':
        return node.kind;
      case 'if':
      case 'with':
      case 'range': {
        const known = this.#variables.length;
        const said = node.kind === 'range' ? this.#range(node, dot) : this.#choose(node, dot);
        this.#variables.length = known;
        return said;
      }
    }
  }

  #choose({ kind, pipe, body, otherwise }: Extract<Node, { pipe: Pipe; body: Nodes }>, dot: unknown) {
    const value = this.#pipe(pipe, dot);
    if (isTrue(value)) return this.#walk(body, kind === 'with' ? value : dot);
    return this.#walk(otherwise, dot);
  }

  #range({ pipe, body, otherwise }: Extract<Node, { pipe: Pipe; body: Nodes }>, dot: unknown) {
    const { variables, declares, commands } = pipe;
    const value = this.#pipe({ variables: [], declares: false, commands }, dot);
    const items = this.#at(commands[0], () => rangeOf(value));
    const known = this.#variables.length;
    if (items.length === 0) return this.#walk(otherwise, dot);
    for (const [key, item] of items) {
      this.#step();
      const values = variables.length === 2 ? [key, item] : [item];
      for (const [i, name] of variables.entries()) this.#set(name, values[i], declares);
      const said = this.#walk(body, item);
      this.#variables.length = known;
      if (said === 'break') break;
    }
    return undefined;
  }

  #set(name: string, value: unknown, declares: boolean): void {
    const known = declares ? undefined : this.#variables.findLast((variable) => variable.name === name);
    if (known === undefined) this.#variables.push({ name, value });
    else known.value = value;
  }

  #pipe({ variables, declares, commands }: Pipe, dot: unknown): unknown {
    let value: unknown;
    for (const [i, command] of commands.entries()) value = this.#command(command, dot, i === 0 ? [] : [value]);
    for (const name of variables) this.#set(name, value, declares);
    return value;
  }

  /** `piped` is what the command before gave: the last argument. */
  #command(command: Command, dot: unknown, piped: readonly unknown[]): unknown {
    const [head, ...args] = command.operands;
    if (head.kind === 'function' && head.fields.length === 0) {
      return this.#call(head.name, { command, args, dot, piped });
    }
    const value = this.#value(head, dot);
    if (typeof value === 'function') {
      const said: unknown = value(...args.map((arg) => this.#value(arg, dot)), ...piped);
      return said;
    }
    if (args.length > 0 || piped.length > 0) {
      throw this.#refuse(head, `can't give argument to non-function ${head.source}`);
    }
    return value;
  }

  #call(
    name: string,
    given: { command: Command; args: readonly Operand[]; dot: unknown; piped: readonly unknown[] },
  ): unknown {
    const { command, args, dot, piped } = given;
    const called = this.#functions.get(name);
    const count = args.length + piped.length;
    if (called === undefined || count < called.least || count > called.most) {
      const want = called?.least === called?.most ? called?.least : `at least ${called?.least}`;
      throw this.#refuse(command, `wrong number of args for ${name}: want ${want} got ${count}`);
    }
    const values: unknown[] = [];
    for (const arg of args) {
      values.push(this.#value(arg, dot));
      // What decides ends it: the rest may not even make sense.
      if ((name === 'and' || name === 'or') && isTrue(values.at(-1)) === (name === 'or')) return values.at(-1);
    }
    return this.#at(command, () => called.call(...values, ...piped), name);
  }

  #value(operand: Operand, dot: unknown): unknown {
    let value = this.#base(operand, dot);
    for (const name of operand.fields) value = this.#field(operand, value, name);
    return value;
  }

  #base(operand: Operand, dot: unknown): unknown {
    switch (operand.kind) {
      case 'dot':
        return dot;
      case 'nil':
        return undefined;
      case 'constant':
        return operand.value;
      case 'variable':
        return this.#variables.findLast(({ name }) => name === operand.name)?.value;
      case 'function':
        return this.#call(operand.name, { command: { ...operand, operands: [operand] }, args: [], dot, piped: [] });
      case 'pipe':
        return this.#pipe(operand.pipe, dot);
    }
  }

  #field(operand: Operand, value: unknown, name: string): unknown {
    if (value instanceof Map) return value.get(name);
    if (value === undefined || value === null) {
      throw this.#refuse(operand, `nil pointer evaluating interface {}.${shorten(name)}`);
    }
    if (!isStruct(value)) throw this.#refuse(operand, `can't evaluate field ${shorten(name)} in type ${typeOf(value)}`);
    if (Object.hasOwn(value, name)) return value[name];
    const known = shortened(Object.keys(value));
    throw this.#refuse(operand, `map has no entry for key ${JSON.stringify(shorten(name))}; there are: ${known}`);
  }

  #step(): void {
    this.#steps += 1;
    if (this.#steps > mostSteps) throw refuseAt(this.#template, 0, `it takes more than ${mostSteps} steps`);
  }

  #print(text: string): void {
    this.#at(undefined, () => this.#output.write(text));
  }

  /** What goes wrong is said with the place. */
  #at<T>(place: { at: number; source: string } | undefined, act: () => T, called?: string): T {
    try {
      return act();
    } catch (cause) {
      if (cause instanceof Refusal || !(cause instanceof Error)) throw cause;
      const message = called === undefined ? cause.message : `error calling ${called}: ${cause.message}`;
      throw this.#refuse(place ?? { at: 0, source: '' }, message);
    }
  }

  #refuse({ at, source }: { at: number; source: string }, message: string): Refusal {
    return refuseAt(this.#template, at, `executing "" at <${shorten(source)}>: ${message}`);
  }
}

const mostNames = 40;

function shortened(names: readonly string[]): string {
  return names.length > mostNames ? `${names.slice(0, mostNames).join(', ')}, …` : names.join(', ');
}
