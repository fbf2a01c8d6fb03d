import type { Dataplane } from '../dataplane/dataplane.ts';
import { pause } from '../lib/backoff.ts';
import type { Log } from '../lib/log.ts';

/** What no notification tells of is found within this time, in milliseconds. */
const interval = 5_000;

export interface RepairNeeds {
  readonly dataplane: Pick<Dataplane, 'repair'>;
  readonly log: Log;
}

/** Compares the kernel with what it should hold again and again, puts right what differs; the data plane says so. */
export function repairRegularly({ dataplane, log }: RepairNeeds): { close(): Promise<void> } {
  const stop = new AbortController();
  const repairing = (async () => {
    for (;;) {
      await pause(interval, stop.signal);
      if (stop.signal.aborted) return;
      try {
        await dataplane.repair();
      } catch (error) {
        log.error('kernel state could not be compared', { error });
      }
    }
  })();
  return {
    close: async () => {
      stop.abort();
      await repairing;
    },
  };
}
