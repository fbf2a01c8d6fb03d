import { createSocket, type Socket } from 'node:dgram';
import type { Log } from '../../lib/log.ts';
import type { Answering, Origin } from './answering.ts';
import type { NameSocket } from './dns.ts';

/** Answers what comes to a bound UDP socket, until it is closed. */
export function openUdp(
  { network, fd, family }: Pick<NameSocket, 'network' | 'fd' | 'family'>,
  answering: Answering,
  log: Log,
): Promise<Socket> {
  const udp = createSocket({
    type: family === 4 ? 'udp4' : 'udp6',
    // Answers go to an address as it came.
    lookup: (address, _options, done) => done(null, address, family),
  });
  const { reply } = answering;
  udp.on('message', (request, { address, port }) => {
    const origin: Origin = { network, address, transport: 'udp' };
    answering.take(request, origin, (bytes, length) => {
      udp.send(bytes, 0, length, port, address, ignore);
      if (udp.getSendQueueSize() > 0) reply.renew();
    });
  });
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const fail = (error: Error) => {
    udp.close();
    reject(error);
  };
  udp.once('error', fail);
  udp.bind({ fd, exclusive: true }, () => {
    udp.off('error', fail);
    udp.on('error', (error) => log.warn('a socket for names failed', { network, error }));
    resolve(udp);
  });
  return promise;
}

/** An answer that cannot be sent is one that was lost on the way: who asked asks again. */
function ignore(): void {}
