/** What a bench says at its end: a table for people, and its figures as the last line, for programs. */
export interface Report {
  readonly table: readonly (readonly string[])[];
  /** Sentences below the table: what was measured how, which bounds hold. */
  readonly notes: readonly string[];
  readonly figures: Figures;
}

/** Numbers under readable keys. */
export type Figures = { readonly [key: string]: number | Figures };

/** The table, the notes, and as the last line one JSON object. */
export function formatReport({ table, notes, figures }: Report): string {
  return [formatTable(table), '', ...notes, '', JSON.stringify(figures), ''].join('\n');
}

/** The first column to the left, the others to the right; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows
    .map((row) =>
      widths
        .map((width, i) => (i === 0 ? (row[i] ?? '').padEnd(width) : (row[i] ?? '').padStart(width)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** By linear interpolation between the two nearest ranks. @throws RangeError when there is no value */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = ((sorted.length - 1) * percent) / 100;
  const below = sorted[Math.floor(rank)];
  const above = sorted[Math.ceil(rank)];
  if (below === undefined || above === undefined) throw new RangeError('a percentile of no values');
  return below + (above - below) * (rank - Math.floor(rank));
}

/** As few decimals as say something: four significant digits, and whole numbers from 1000 up. */
export function round(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4));
}

/** The items, another one first in each round: nobody always comes after the same one. */
export function rotated<T>(items: readonly T[], by: number): readonly T[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
