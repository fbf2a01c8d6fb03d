import { messageOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import type { Link, Links, MeshEvents } from '../environment.ts';
import { Attempts } from '../trust/attempts.ts';
import { sentence } from '../trust/refused.ts';
import { parseLinkAddress } from './address.ts';
import type { Channel } from './channel.ts';
import { dial } from './dial.ts';
import { type Greeter, type Greeting, greet } from './greet.ts';
import { listen } from './listen.ts';
import type { Credentials } from './secure.ts';

/** The links of this host, in both directions. */
export interface OpenLinks extends Links {
  readonly port: number;
  /** Ends the links of those of whom it says why; they are told. */
  end(why: (peer: string) => string | undefined): void;
  /** Takes no more, and ends those that there are. May be called twice. */
  close(): void;
}

export interface LinksOptions {
  readonly credentials: Credentials;
  /** Where others reach this host; port 0 for any that is free. */
  readonly address: string;
  readonly port: number;
  /** What this host is to whom it meets now. */
  readonly greeter: (channel: Channel) => Omit<Greeter, 'attempts'>;
  /** Whom to tell; nobody is there until the host belongs to a cluster. */
  readonly events: () => Pick<MeshEvents, 'accepted' | 'received' | 'drained' | 'closed'> | undefined;
  /** How each greeting ended that brought no link; hosts that wait may have met. */
  readonly ended: (greeting: Exclude<Greeting, { kind: 'open' }>, channel: Channel) => void;
  readonly log: Log;
}

type DialOutcome = Parameters<Links['dial']>[2];

/** @throws Refusal when nobody can listen there */
export async function openLinks(options: LinksOptions): Promise<OpenLinks> {
  const { credentials, address, greeter, events, ended, log } = options;
  const stopping = new AbortController();
  const attempts = new Attempts();
  const open = new Map<Channel, Link>();

  /** Greets, and hands a link to `taken`; what comes over it is told from then on. Answers why there is none. */
  async function welcome(channel: Channel, taken: (link: Link) => void): Promise<string | undefined> {
    const greeting = await greet(channel, { ...greeter(channel), attempts });
    if (greeting.kind !== 'open') {
      ended(greeting, channel);
      return reasonOf(greeting, channel);
    }
    const mesh = events();
    if (mesh === undefined || stopping.signal.aborted) {
      channel.close('this host stops');
      return 'this host stops';
    }
    const link: Link = {
      peer: hostIdOf(channel.peerKey),
      dialled: channel.dialled,
      send: (frame) => channel.send(frame),
      close: (why) => channel.close(why),
    };
    open.set(channel, link);
    taken(link);
    channel.take({
      received: (frame) => mesh.received(link, frame),
      drained: () => mesh.drained(link),
      closed: (why) => {
        open.delete(channel);
        mesh.closed(link, why);
      },
    });
    return undefined;
  }

  async function attempt(text: string, peer: string | undefined, outcome: DialOutcome): Promise<void> {
    const channel = await dialText(text, peer).catch((error: unknown) => messageOf(error));
    const why = typeof channel === 'string' ? channel : await welcome(channel, (link) => outcome.opened(link));
    if (why !== undefined) outcome.failed(why);
  }

  async function dialText(text: string, peer: string | undefined): Promise<Channel> {
    return await dial({ credentials, ...parseLinkAddress(text), peer, signal: stopping.signal });
  }

  const listener = await listen({
    ...{ credentials, address, port: options.port, log },
    greet: async (channel) => {
      const why = await welcome(channel, (link) => events()?.accepted(link));
      if (why !== undefined) log.info('a host was not linked', { peer: channel.address, why });
    },
  });

  return {
    port: listener.port,
    dial(text, peer, outcome) {
      void attempt(text, peer, outcome);
    },
    end(why) {
      for (const link of open.values()) {
        const reason = why(link.peer);
        if (reason !== undefined) link.close(reason);
      }
    },
    close() {
      stopping.abort();
      listener.close();
      for (const channel of open.keys()) channel.close('this host stops');
    },
  };
}

function reasonOf(greeting: Exclude<Greeting, { kind: 'open' }>, { address }: Channel): string {
  switch (greeting.kind) {
    case 'refused':
      return sentence(address, greeting);
    case 'met':
      return `${address} belongs to no cluster yet, and has the same token`;
    case 'ended':
      return `${address}: ${greeting.why}`;
  }
}
