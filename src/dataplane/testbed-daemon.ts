import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { NameSocketPlace, SocketChange } from './dataplane.ts';
import { openDataplane } from './open.ts';
import { type Call, toWire } from './protocol.ts';

/** A data plane that is told what to do by the process that forked it. */
const log = (level: string) => (message: string, fields?: object) =>
  process.env['TESTBED_LOG'] && console.error(level, message, fields);
const holder = process.env['TESTBED_HOLDER'] ?? fileURLToPath(new URL('../../build/skein-holder', import.meta.url));
const dataplane = await openDataplane({
  ...{ state: '/run/state', holder, onSockets: serve },
  log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
});

/** What comes in is sent back, behind the id of the socket's network. */
const servers = new Map<string, { close(): void }>();
function serve({ put, gone }: SocketChange): void {
  for (const id of gone) {
    servers.get(id)?.close();
    servers.delete(id);
  }
  for (const place of put) servers.set(place.id, place.transport === 'udp' ? serveUdp(place) : serveTcp(place));
}

function serveUdp({ family, fd, network }: NameSocketPlace) {
  const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
  socket.on('message', (bytes, { port, address }) => socket.send(answer(network, bytes), port, address));
  return socket.bind({ fd });
}

function serveTcp({ fd, network }: NameSocketPlace) {
  const server = createServer((connection) => {
    connection.on('data', (bytes) => connection.end(answer(network, bytes)));
    connection.on('error', () => connection.destroy());
  });
  return server.listen({ fd });
}

function answer(network: string | undefined, bytes: Buffer): string {
  return `${network ?? 'listener'} ${bytes.toString()}`;
}

process.on('message', ({ id, call: [name, argument] }: { readonly id: number; readonly call: Call }) => {
  const method = Reflect.get(dataplane, name) as (argument: unknown) => Promise<unknown>;
  method(argument).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: toWire(error) }),
  );
});
process.send?.('ready');
