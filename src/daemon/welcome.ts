import { isatty } from 'node:tty';
import { Refusal } from '../lib/errors.ts';
import { joinCommand } from '../model/join-token.ts';
import { formatMeshPlace } from '../model/mesh-place.ts';
import type { Membership } from '../state/mesh/membership.ts';

export interface Terminal {
  readonly isTTY: boolean;
  write(text: string): unknown;
}

/** Node's own stream would be opened by asking it. */
const launchedFrom: Terminal = {
  get isTTY() {
    return isatty(1);
  },
  write: (text) => process.stdout.write(text),
};

/**
 * The next step, for who launched the daemon in the foreground: how others join a cluster of one. It holds the secret, so it
 * goes to a terminal alone, never to a log; in the background `skein launch --detach` says it.
 */
export async function welcome(
  membership: Pick<Membership, 'standing' | 'peers' | 'token'>,
  terminal: Terminal = launchedFrom,
): Promise<void> {
  if (!terminal.isTTY) return;
  const standing = membership.standing();
  if (standing.kind === 'waiting') {
    terminal.write('this host waits for others with its token; connect it to one of them: skein connect HOST\n');
    return;
  }
  if (standing.role !== 'admin' || membership.peers().length > 1) return;
  try {
    const token = await membership.token();
    terminal.write(`other hosts join with: ${joinCommand({ token, place: formatMeshPlace(standing.place) })}\n`);
  } catch (error) {
    // It was made elsewhere; `skein token show` says where.
    if (!(error instanceof Refusal)) throw error;
  }
}
