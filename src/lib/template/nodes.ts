/** A template as a tree; `at` is the place that an error names, `source` what it quotes. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly pipe: Pipe }
  | { readonly kind: 'if' | 'with' | 'range'; readonly pipe: Pipe; readonly body: Nodes; readonly otherwise: Nodes }
  | { readonly kind: 'break' | 'continue' };

export type Nodes = readonly Node[];

export interface Pipe {
  /** Variables that it sets: `$v := `, `$v = `, in a range also `$k, $v := `. */
  readonly variables: readonly string[];
  readonly declares: boolean;
  readonly commands: readonly Command[];
}

export interface Command {
  readonly operands: readonly [Operand, ...Operand[]];
  readonly at: number;
  readonly source: string;
}

export type Operand = Base & { readonly fields: readonly string[]; readonly at: number; readonly source: string };

type Base =
  | { readonly kind: 'dot' | 'nil' }
  | { readonly kind: 'constant'; readonly value: string | number | boolean }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'function'; readonly name: string }
  | { readonly kind: 'pipe'; readonly pipe: Pipe };
