import type { Container } from '../../model/container.ts';
import type { Supervisor } from './supervisor.ts';

/** A container as this host has it, from a start by hand to the end of its last life. */
export interface Held {
  container: Container;
  /** Of its present or last life, if that was seen. */
  supervisor?: Supervisor;
  /** Resolves with its exit code when it has ended for good, is journalled so and has left its networks. */
  readonly finished: Promise<number>;
  /** Aborts when no life follows: nothing more is written. */
  readonly ended: AbortSignal;
  /** Aborts when `finished` resolves. */
  readonly over: AbortSignal;
  /** Aborted, its present life is its last: a pause ends at once, what is just being started is killed. */
  readonly halt: AbortController;
  /** It is started again by hand after this end, which is no reason to remove itself. */
  returns: boolean;
  /** Has removed itself: its name is free, it is in no list, its output lingers. */
  gone: boolean;
  /** By a clock that does not jump. */
  goneSince?: number;
}
