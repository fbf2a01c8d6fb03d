import { KernelError } from '../kernel/kernel-error.ts';
import { ParseError, Refusal, type RefusalKind } from '../lib/errors.ts';
import type { Fields } from '../lib/log.ts';
import type { Adopted, Carrier, Change, HostView, Piece, Repaired, SocketChange } from './dataplane.ts';
import type { ProbeInit, ProbeSockets, ProbeTarget } from './probe/place.ts';
import type { Stranger } from './probe/strangers.ts';

/** What goes between the main thread and the one that works on the kernel. */
export interface Calls {
  set(pieces: readonly Piece[]): Repaired;
  change(change: Change): undefined;
  repair(): Repaired;
  adopt(source: { readonly path: string } | { readonly pid: number }): Adopted;
  unanswered(sockets: readonly string[]): undefined;
  look(): HostView;
  /** The namespace of probes, made anew. */
  probePlace(init: ProbeInit): ProbeSockets;
  probeTargets(targets: readonly ProbeTarget[]): undefined;
  probeStream(mtu: number): number;
  /** MTU of the route to a data address, if the route says one. */
  probeRoute(data: string): number | undefined;
  probeStrangers(): readonly Stranger[];
  close(): undefined;
}

/** One of `Calls`, with its arguments. */
export type Call = { [Name in keyof Calls]: readonly [Name, ...Parameters<Calls[Name]>] }[keyof Calls];

export interface CallMessage {
  readonly id: number;
  readonly call: Call;
}

export type WorkerMessage =
  | { readonly kind: 'ready'; readonly wake: number }
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: WireError }
  /** Others' rules in the host's namespace were changed. */
  | { readonly kind: 'foreign' }
  /** What carries the underlay is another than before, or like it no more. */
  | { readonly kind: 'carrier'; readonly carrier: Carrier | undefined }
  | { readonly kind: 'sockets'; readonly change: SocketChange }
  /** Why the sockets will not outlive the daemon, another reason than before or none any more. */
  | { readonly kind: 'unheld'; readonly why: string | undefined }
  | {
      readonly kind: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly message: string;
      readonly fields: Fields;
    };

/** The first message, with which the thread begins. */
export interface WorkerPlaces {
  readonly run: string;
  readonly ipNetns: string;
  readonly state: string;
  readonly holder?: string;
}

/** An error as it crosses: structured cloning would lose its class and code. */
export type WireError = { readonly message: string; readonly stack?: string | undefined } & (
  | { readonly class: 'KernelError'; readonly code: string }
  | { readonly class: 'Refusal'; readonly kind: RefusalKind }
  | { readonly class: 'ParseError' | 'Error' }
);

export function toWire(error: unknown): WireError {
  if (!(error instanceof Error)) return { class: 'Error', message: String(error) };
  const { message, stack } = error;
  if (error instanceof KernelError) return { class: 'KernelError', message, stack, code: error.code };
  if (error instanceof Refusal) return { class: 'Refusal', message, stack, kind: error.kind };
  return { class: error instanceof ParseError ? 'ParseError' : 'Error', message, stack };
}

/** `cause` shows where in the worker it came from. */
export function fromWire(wire: WireError): Error {
  const cause = wire.stack;
  switch (wire.class) {
    case 'KernelError': {
      const error = new KernelError('', wire.code, { cause });
      error.message = wire.message;
      return error;
    }
    case 'Refusal':
      return new Refusal(wire.kind, wire.message, { cause });
    case 'ParseError':
      return new ParseError(wire.message, { cause });
    case 'Error':
      return new Error(wire.message, { cause });
  }
}
