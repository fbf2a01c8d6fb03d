import { messageOf, Refusal } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import type { Courier } from './courier.ts';

/** Small messages between hosts of the cluster that may be lost, doubled by nobody, or late. */
export interface Datagrams {
  readonly port: number;
  /** Nobody is told what came of it. */
  send(host: string, message: unknown): void;
  close(): void;
}

export interface DatagramOptions {
  readonly courier: Courier;
  /** Where: an address, `::` for all of both families. */
  readonly address: string;
  readonly port: number;
  /** Where a host takes datagrams: an address, never a name. */
  readonly addressOf: (host: string) => { readonly address: string; readonly port: number } | undefined;
  readonly received: (from: string, message: unknown) => void;
  readonly log: Log;
}

/** @throws Refusal when nobody can take datagrams there */
export async function openDatagrams(options: DatagramOptions): Promise<Datagrams> {
  const { courier, address, port, addressOf, received, log } = options;
  const both = address.includes(':');
  const socket = process.getBuiltinModule('node:dgram').createSocket(both ? 'udp6' : 'udp4');
  const sendTo = (bytes: Uint8Array, to: { readonly address: string; readonly port: number }) => {
    // What does not go out is lost, as on the way; the kernel may also tell of an earlier one.
    socket.send(
      bytes,
      to.port,
      both && !to.address.includes(':') ? `::ffff:${to.address}` : to.address,
      () => undefined,
    );
  };
  socket.on('message', (bytes, sender) => {
    const opened = courier.open(bytes);
    if (opened?.kind === 'message') received(opened.from, opened.message);
    else if (opened?.kind === 'answer') sendTo(opened.bytes, sender);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (cause) => {
      reject(new Refusal('conflict', `take datagrams on ${address} port ${port}: ${messageOf(cause)}`, { cause }));
    });
    socket.bind({ address, port }, () => resolve());
  });
  socket.on('error', (error) => log.warn('datagrams failed', { error }));
  let closed = false;
  return {
    port: socket.address().port,
    send(host, message) {
      const to = addressOf(host);
      const bytes = to === undefined || closed ? undefined : courier.seal(host, message);
      if (to !== undefined && bytes !== undefined) sendTo(bytes, to);
    },
    close() {
      if (!closed) socket.close();
      closed = true;
    },
  };
}
