/**
 * Structured log lines: a constant message and named fields. The shape is all that the code below `daemon/` knows; the
 * daemon hands in the real one.
 */
export type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}

/** Hands each line on, to where the log itself is: that of another thread. */
export function relayed(hand: (level: keyof Log, message: string, fields: Fields) => void): Log {
  const at =
    (level: keyof Log) =>
    (message: string, fields: Fields = {}) =>
      hand(level, message, fields);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Drops every line. */
export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
