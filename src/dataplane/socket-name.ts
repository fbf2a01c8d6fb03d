import { isIP } from 'node:net';
import { ParseError } from '../lib/errors.ts';

/** Under which name a socket is held: it says all that has to be known of it after who opened it is gone. */
export interface SocketName {
  /** Name of its network namespace, and the namespace's number: of namespaces that had one name it is in that one. */
  readonly namespace: string;
  readonly inode: string;
  readonly transport: 'udp' | 'tcp';
  readonly address: string;
  readonly port: number;
}

export function formatSocketName({ namespace, inode, transport, address, port }: SocketName): string {
  return `${namespace} ${inode} ${transport} ${address} ${port}`;
}

/** @throws ParseError */
export function parseSocketName(text: string): SocketName {
  const [, namespace = '', inode = '', transport, address = '', number = ''] =
    /^([\w-]{1,64}) (\d{1,20}) (udp|tcp) (\S{1,45}) (\d{1,5})$/.exec(text) ?? [];
  const port = Number(number);
  if ((transport !== 'udp' && transport !== 'tcp') || isIP(address) === 0 || port > 65535) {
    throw new ParseError(
      `${JSON.stringify(text.slice(0, 80))} is not the name of a socket such as "1-3d430f3338 4026532 udp 10.0.0.1 53"`,
    );
  }
  return { namespace, inode, transport, address, port };
}
