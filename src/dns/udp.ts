import { createSocket } from 'node:dgram';
import type { Answering, Origin } from './answering.ts';
import type { NameSocket } from './dns.ts';
import type { Adopted } from './tcp.ts';

/** Answers that wait because nobody takes them; what would be more is lost, as on any way. */
const mostQueued = 64;

/** Answers what comes to a bound UDP socket, until it is closed; `onFail` is told when no more can be read of it. */
export function openUdp(
  { network, fd, family }: Pick<NameSocket, 'network' | 'fd' | 'family'>,
  answering: Pick<Answering, 'take' | 'reply'>,
  onFail: (error: Error) => void,
): Promise<Adopted> {
  const udp = createSocket({
    type: family === 4 ? 'udp4' : 'udp6',
    // Answers go to an address as it came.
    lookup: (address, _options, done) => done(null, address, family),
  });
  const { reply } = answering;
  let open = true;
  let finishing = false;
  /** Questions that were read and are not answered. */
  let pending = 0;
  /** Whether the kernel took the last answer later rather than at once. */
  let slow = false;
  const close = () => {
    if (open) udp.close();
    open = false;
  };
  const closed = new Promise<void>((done) => udp.once('close', done));
  udp.on('message', (request, { address, port }) => {
    // Whoever can send as it likes can send from there; nothing can be sent to it.
    if (port === 0) return;
    const origin: Origin = { network, address, port, transport: 'udp' };
    pending++;
    const taken = answering.take(request, origin, (bytes, length) => {
      pending--;
      send(bytes, length, port, address);
      if (finishing && pending === 0) close();
    });
    if (!taken) pending--;
  });
  const send = (bytes: Buffer, length: number, port: number, address: string) => {
    if (!open || (slow && udp.getSendQueueCount() >= mostQueued)) return;
    // What waits must not be written over.
    udp.send(slow ? Buffer.from(bytes.subarray(0, length)) : bytes, 0, length, port, address, ignore);
    const queued = udp.getSendQueueSize() > 0;
    if (queued && !slow) reply.renew();
    slow = queued;
  };
  const { promise, resolve, reject } = Promise.withResolvers<Adopted>();
  const fail = (error: Error) => {
    close();
    reject(error);
  };
  udp.once('error', fail);
  udp.bind({ fd, exclusive: true }, () => {
    udp.off('error', fail);
    udp.on('error', onFail);
    const { address, port } = udp.address();
    const finish = () => {
      finishing = true;
      // Node cannot leave a socket unread and open: with the last answer that is due it is closed.
      if (pending === 0) close();
      return closed;
    };
    resolve({ address, port, finish, close });
  });
  return promise;
}

/** An answer that cannot be sent is one that was lost on the way: who asked asks again. */
function ignore(): void {}
