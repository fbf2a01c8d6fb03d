import { generateKeyPairSync } from 'node:crypto';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { silent } from '../../../lib/log.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import { signerOf } from '../signing.ts';
import type { Channel, Pace } from './channel.ts';
import { dial } from './dial.ts';
import { type Listener, listen } from './listen.ts';
import { credentialsOf } from './secure.ts';

export function realHost(name: string) {
  const { privateKey } = generateKeyPairSync('ed25519');
  const signer = signerOf(privateKey);
  return { name, signer, id: hostIdOf(signer.key), credentials: credentialsOf(privateKey), privateKey };
}
export type RealHost = ReturnType<typeof realHost>;

export const quickPace: Pace = { handshake: 300, heartbeat: 50, silence: 300, stall: 300, flood: 300 };

/** Listens on loopback until the test ends. */
export async function listenAs(
  t: TestContext,
  host: RealHost,
  greet: (channel: Channel) => Promise<void>,
  pace?: Pace,
): Promise<Listener> {
  const { credentials } = host;
  const listener = await listen({
    credentials,
    address: '127.0.0.1',
    port: 0,
    greet,
    log: silent,
    ...(pace && { pace }),
  });
  t.after(() => listener.close());
  return listener;
}

export async function dialAs(t: TestContext, host: RealHost, port: number, peer?: string): Promise<Channel> {
  const { credentials } = host;
  const channel = await dial({ credentials, host: '127.0.0.1', port, peer, signal: t.signal });
  t.after(() => channel.close('the test is over'));
  return channel;
}

/** Collects what comes over a channel. */
export class Listening {
  readonly frames: unknown[] = [];
  drains = 0;
  closed: string | undefined;

  constructor(channel: Channel) {
    channel.take({
      received: (frame) => this.frames.push(frame),
      drained: () => {
        this.drains += 1;
      },
      closed: (why) => {
        this.closed = why;
      },
    });
  }
}

export async function until(condition: () => boolean, ms = 5000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${condition.toString()}`);
    await wait(5);
  }
}
