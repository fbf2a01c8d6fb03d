import { Refusal } from '../../lib/errors.ts';

export function notRunning(doing: string, id: string): Refusal {
  return new Refusal('conflict', `cannot ${doing} container: container ${id} is not running`);
}

/** It lives, but is stopped, frozen or waits for a disk; what it was asked lies in its socket. */
export function notAnswering(doing: string, id: string): Refusal {
  return new Refusal(
    'unavailable',
    `cannot ${doing} container: the supervisor of ${id} lives and does not answer; what it was asked is done when it goes on`,
  );
}
