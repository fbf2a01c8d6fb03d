import type { Log } from '../lib/log.ts';
import type { LookedUp, Lookup, NameChange, NameServerStatus } from './dns.ts';
import type { WireName } from './wire-name.ts';

/** What goes between the main thread and the one that answers questions. The first request opens. */
export type Request =
  | {
      readonly id: number;
      readonly kind: 'open';
      readonly domains: readonly WireName[];
      readonly own: readonly string[];
    }
  | { readonly id: number; readonly kind: 'change'; readonly change: NameChange }
  | { readonly id: number; readonly kind: 'status' }
  | { readonly id: number; readonly kind: 'lookup'; readonly lookup: Lookup }
  | { readonly id: number; readonly kind: 'close' };

export type WorkerMessage =
  | { readonly kind: 'done'; readonly id: number; readonly status?: NameServerStatus; readonly found?: LookedUp }
  /** `parse`: it was asked for what cannot be. */
  | { readonly kind: 'failed'; readonly id: number; readonly message: string; readonly parse: boolean }
  /** Sockets that nobody answers any more. */
  | { readonly kind: 'lost'; readonly sockets: readonly string[] }
  | {
      readonly kind: 'log';
      readonly level: keyof Log;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
