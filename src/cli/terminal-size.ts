/** Of this terminal, for a new one; nothing where there is none, or one that has no size itself. */
export function sizeFor(tty: boolean): { size?: { rows: number; columns: number } } {
  const { isTTY, rows, columns } = process.stdout;
  return tty && isTTY && rows > 0 && columns > 0 ? { size: { rows, columns } } : {};
}
