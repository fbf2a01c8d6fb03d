import type { Container } from '../../model/container.ts';

/**
 * Docker's: 100 ms before the first time, twice as long before each further one, up to a minute; who ran for 10 s
 * begins anew.
 */
const pauses = { first: 100, most: 60_000, settled: 10_000 } as const;

type Policy = Pick<Container, 'restart' | 'restarts' | 'stopped'>;

export interface Life {
  readonly exitCode: number;
  /** How long it ran, and how long was waited before it, if it was; milliseconds of a clock that does not jump. */
  readonly ran: number;
  readonly paused?: number | undefined;
}

/** How many milliseconds after a life the next begins; undefined when that was the last. */
export function pauseAfter(container: Policy, { exitCode, ran, paused }: Life): number | undefined {
  if (!livesAgain(container, exitCode)) return undefined;
  if (paused === undefined || ran >= pauses.settled) return pauses.first;
  return Math.min(pauses.most, Math.max(pauses.first, 2 * paused));
}

function livesAgain({ restart, restarts, stopped }: Policy, exitCode: number): boolean {
  if (stopped) return false;
  switch (restart.name) {
    case 'no':
      return false;
    case 'on-failure':
      return exitCode !== 0 && (restart.most === 0 || restarts < restart.most);
    case 'always':
    case 'unless-stopped':
      return true;
  }
}

/** Whether one that the journal has in this state needs its sandbox after a reboot, which ended it like a failure. */
export function outlivesReboot({ state, ...policy }: Policy & Pick<Container, 'state'>): boolean {
  switch (state.status) {
    case 'restarting':
      return true;
    case 'running':
      return policy.restart.name === 'always' || livesAgain(policy, 137);
    case 'created':
    case 'exited':
      return false;
  }
}

/** Whether one that has ended begins again with the daemon. */
export function beginsWithDaemon({ restart, state }: Policy & Pick<Container, 'state'>): boolean {
  return restart.name === 'always' && state.status === 'exited';
}
