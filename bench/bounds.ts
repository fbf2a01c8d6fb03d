/** One sentence a bound: whether it is held. */
export function holding(
  values: Readonly<Record<string, number>>,
  bounds: Readonly<Record<string, number>>,
): readonly string[] {
  return Object.entries(bounds).map(([key, most]) => {
    const value = values[key];
    if (value === undefined) throw new Error(`nothing was measured for ${key}`);
    return `${key}: ${value}; at most ${most}: ${value <= most ? 'held' : 'MISSED'}`;
  });
}
