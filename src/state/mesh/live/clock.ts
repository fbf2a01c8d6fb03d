import type { Clock } from '../environment.ts';

/** Of the machine. No timer keeps the process alive. */
export const clock: Clock = {
  now: () => performance.now(),
  after(ms, task) {
    const timer = setTimeout(task, ms).unref();
    return () => clearTimeout(timer);
  },
};
