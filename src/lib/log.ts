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

/** Drops every line. */
export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
