import { isIPv6 } from 'node:net';
import { ParseError } from '../../../lib/errors.ts';

/** Where a host takes links. */
export interface LinkAddress {
  readonly host: string;
  readonly port: number;
}

/** `192.0.2.1:2377`, `[2001:db8::1]:2377`, `h1.example:2377`. @throws ParseError */
export function parseLinkAddress(text: string): LinkAddress {
  const parts = text.length > 300 ? null : /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text);
  const [, six, plain, digits] = parts ?? [];
  const port = Number(digits);
  const host = six ?? plain;
  if (host === undefined || (six !== undefined && !isIPv6(six)) || port < 1 || port > 65_535) {
    throw new ParseError(`${JSON.stringify(text.slice(0, 80))} is not an address and a port, such as 192.0.2.1:2377`);
  }
  return { host, port };
}
