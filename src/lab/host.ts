import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { folderOf } from './folders.ts';
import type { Place } from './place.ts';

export interface LabHost extends Place {
  /** On the underlay. */
  readonly address: string;
  /** The daemon's API, as the machine outside reaches it. */
  readonly socket: string;
  readonly daemon: Daemon;
  /** As a power cut does it: only what is on the disk is left. The lab has the new host then; its daemon is not started. */
  reboot(): Promise<void>;
}

export interface Daemon {
  /** Resolves when it answers. `words` follow `skein launch --detach`. @throws CommandError */
  start(...words: readonly string[]): Promise<void>;
  /** Resolves when the process is gone. @throws Error when none runs */
  kill(signal: NodeJS.Signals): Promise<void>;
}

const runDir = 'run/skein';

/** The API of a lab's host, as the machine outside reaches it, whether there is such a host or not. */
export function socketOfHost(lab: string, host: string): string {
  return join(folderOf(lab), host, runDir, 'skein.sock');
}

export function hostOf(place: Place, address: string): Omit<LabHost, 'reboot'> {
  const socket = join(place.folder, runDir, 'skein.sock');
  return { ...place, address, socket, daemon: daemonOf(place) };
}

function daemonOf(place: Place): Daemon {
  return {
    start: async (...words) => {
      await place.exec(['skein', 'launch', '--detach', ...words]);
    },
    kill: async (signal) => {
      // The pid in the file is the one that counts inside.
      const pid = readFileSync(join(place.folder, runDir, 'skein.pid'), 'utf8').trim();
      const wait = `kill -s ${signal.replace(/^SIG/, '')} ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.01; done`;
      await place.exec(['sh', '-euc', wait], { signal: AbortSignal.timeout(20_000) });
    },
  };
}
