/**
 * Errors that a caller can decide on. A message is one sentence: what was tried, on what, why it failed and, where there
 * is something to do, what to do; lower case, no full stop.
 */

/** Why a request was turned down; the API maps each to an HTTP status, the command line to an exit code. */
export const refusalKinds = ['invalid', 'not-found', 'conflict', 'forbidden', 'unavailable', 'unsupported'] as const;
export type RefusalKind = (typeof refusalKinds)[number];

/** A request that cannot be done as asked. It changed nothing; the asker is told the message as it stands. */
export class Refusal extends Error {
  override readonly name: string = 'Refusal';
  readonly kind: RefusalKind;

  constructor(kind: RefusalKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** Text from outside that is not what it should be. `place` names where: a flag, a JSON path, a key of the store. */
export class ParseError extends Error {
  override readonly name = 'ParseError';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** Bytes from outside that are not what they should be. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
