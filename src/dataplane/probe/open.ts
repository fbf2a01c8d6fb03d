import { randomBytes } from 'node:crypto';
import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, Socket } from 'node:net';
import { pause } from '../../lib/backoff.ts';
import { type ProbeInit, type ProbeSockets, type ProbeTarget, probeAddress, probeMac, STREAM_PORT } from './place.ts';
import type { Findings, ProbePeer, Probes } from './probe.ts';
import type { Stranger } from './strangers.ts';

export interface ProbeNeeds {
  readonly place: (init: ProbeInit) => Promise<ProbeSockets>;
  readonly targets: (targets: readonly ProbeTarget[]) => Promise<void>;
  readonly stream: (mtu: number) => Promise<number>;
  readonly route: (data: string) => Promise<number | undefined>;
  readonly strangers: () => Promise<readonly Stranger[]>;
}

/** Of the way, in milliseconds: until the first answer, for sizes after it, for the stream after it. */
const patience = { first: 4_000, sizes: 1_200, stream: 2_500 } as const;
const between = 200;
/** Bytes of a stream: many packets of any MTU, and put together by what offloads that. */
const streamLength = 64 * 1024;
/** MTUs that one meets, down to the least of IPv6. */
const sizes = [
  9000, 8950, 8900, 4352, 1500, 1492, 1480, 1472, 1460, 1450, 1440, 1430, 1420, 1400, 1380, 1350, 1300, 1280,
];

const ECHO_REQUEST = 128;
const ECHO_REPLY = 129;
const IPV6_HEADER = 40;
//  | type:8 | code:8 | checksum:16 | identifier:16 | sequence:16 | token:64 | zeros |
const echoHeader = 8;
const tokenLength = 8;

/** Outer headers before an inner packet: Ethernet within, VXLAN, UDP, IP. */
function overhead(data: string): number {
  return 14 + 8 + 8 + (data.includes(':') ? 40 : 20);
}

/** Node reads from a descriptor at once, which one that is not connected yet does not take. */
const unconnected = { manualStart: true };

export async function openProbes(init: ProbeInit, needs: ProbeNeeds): Promise<Probes> {
  const { echo, listener } = await needs.place({ ...init, mtu: init.mtu - overhead(init.data) });
  const peers = new Map<string, ProbePeer>();
  const waiting = new Map<string, () => void>();
  const server = await listen(listener);
  const datagrams = await adopt(echo);
  datagrams.on('message', (message) => {
    if (message[0] === ECHO_REPLY) waiting.get(tokenOf(message))?.();
  });

  /** Sends an echo of that many bytes, encapsulation counted, again and again; whether one came back in time. */
  async function echoes(peer: ProbePeer, size: number, most: number): Promise<boolean> {
    const length = Math.max(size - overhead(init.data) - IPV6_HEADER, echoHeader + tokenLength);
    const message = Buffer.alloc(length);
    message[0] = ECHO_REQUEST;
    randomBytes(tokenLength).copy(message, echoHeader);
    const over = new AbortController();
    const token = tokenOf(message);
    waiting.set(token, () => over.abort());
    try {
      for (let waited = 0; waited < most && !over.signal.aborted; waited += between) {
        // What cannot be sent does not come back either.
        datagrams.send(message, STREAM_PORT, probeAddress(peer.host), () => {});
        await pause(between, over.signal);
      }
    } finally {
      waiting.delete(token);
    }
    return over.signal.aborted;
  }

  async function largest(peer: ProbePeer, wanted: number): Promise<number> {
    if (await echoes(peer, wanted, patience.sizes)) return wanted;
    const smaller = sizes.filter((size) => size < wanted);
    const passed = await Promise.all(smaller.map((size) => echoes(peer, size, patience.sizes)));
    return smaller.find((_, i) => passed[i]) ?? 0;
  }

  async function stream(peer: ProbePeer, wanted: number): Promise<boolean> {
    const options = { fd: await needs.stream(wanted - overhead(init.data)), ...unconnected };
    const socket = new Socket(options);
    const limit = AbortSignal.timeout(patience.stream);
    limit.addEventListener('abort', () => socket.destroy());
    try {
      socket.connect(STREAM_PORT, probeAddress(peer.host), () => socket.end(Buffer.alloc(streamLength)));
      let answered = false;
      socket.on('data', () => {
        answered = true;
      });
      await once(socket, 'close');
      return answered;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }

  async function sourceOf({ host, data }: ProbePeer): Promise<string | undefined> {
    const mac = probeMac(host);
    return (await needs.strangers()).find((each) => each.mac === mac && each.source !== data)?.source;
  }

  let closing: Promise<void> | undefined;
  return {
    async set(wanted) {
      await needs.targets(wanted.map(({ host, data }) => ({ host, data })));
      peers.clear();
      for (const peer of wanted) peers.set(peer.host, peer);
    },
    async probe(host): Promise<Findings> {
      const peer = peers.get(host);
      // Where there is no route, packets tell.
      const route = peer && (await needs.route(peer.data).catch(() => undefined));
      const wanted = Math.min(init.mtu, peer?.mtu ?? 0, route ?? Infinity);
      const way = { wanted, ...(route !== undefined && { route }) };
      if (!peer || !(await echoes(peer, 0, patience.first))) {
        const source = peer && (await sourceOf(peer));
        return { answers: false, ...way, passed: 0, stream: false, ...(source !== undefined && { source }) };
      }
      const [passed, streams] = await Promise.all([largest(peer, wanted), stream(peer, wanted)]);
      return { answers: true, ...way, passed, stream: streams };
    },
    close() {
      closing ??= (async () => {
        server.close();
        datagrams.close();
      })();
      return closing;
    },
  };
}

function tokenOf(message: Buffer): string {
  return message.subarray(echoHeader, echoHeader + tokenLength).toString('hex');
}

async function adopt(fd: number): Promise<Datagrams> {
  const socket = createSocket('udp6');
  // A packet that cannot be sent is one that does not come back.
  socket.on('error', () => {});
  // It may be so at once.
  const listening = once(socket, 'listening');
  socket.bind({ fd, exclusive: true });
  await listening;
  return socket.unref();
}

/** Answers a stream that is whole with one byte; nobody gets more than they sent, and nobody keeps one open. */
async function listen(fd: number): Promise<Server> {
  const server = createServer((socket) => {
    let length = 0;
    socket.setTimeout(patience.stream, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      length += bytes.length;
      if (length === streamLength) socket.end('.');
      else if (length > streamLength) socket.destroy();
    });
  });
  server.maxConnections = 64;
  server.listen({ fd });
  await once(server, 'listening');
  return server.unref();
}
