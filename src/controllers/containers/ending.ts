import type { Container } from '../../model/container.ts';
import type { ExitRecord } from './exit-record.ts';
import type { End } from './supervisor.ts';

/** What the end of a life makes of a container's record. Pure. */

/** Of a life that did not come about, for a reason that is not the command's; as Docker's. */
export const notStarted = 128;

export type Ended = Container & { readonly state: { readonly status: 'exited' } };

export function exitedAs(container: Container, { exitCode, started, finished }: ExitRecord): Ended {
  const [begin, end] = [new Date(started).toISOString(), new Date(finished).toISOString()];
  return { ...container, state: { status: 'exited', exitCode, started: begin, finished: end } };
}

export function restartingAs({ state, ...container }: Ended): Container {
  return { ...container, state: { ...state, status: 'restarting' } };
}

/** Of one that is started again by hand. */
export function comingBack(ended: Ended): Container {
  return { ...restartingAs(ended), restarts: 0, stopped: false };
}

/** Of one that waited for its next life: that of the life before. */
export function formerEnd({ state }: Container): End {
  const at = (time: string | undefined) => (time === undefined ? Date.now() : Date.parse(time));
  if (state.status !== 'restarting')
    return { exitCode: notStarted, started: at(undefined), finished: at(undefined), lost: 0, recorded: true };
  const { exitCode, started, finished } = state;
  return { exitCode, started: at(started), finished: at(finished), lost: 0, recorded: true };
}

/** Whether this end is the one that the journal has already, or none: the daemon died before the next life could begin. */
export function isFormer({ state }: Container, { recorded, finished }: End): boolean {
  return state.status === 'restarting' && (!recorded || finished === Date.parse(state.finished));
}
