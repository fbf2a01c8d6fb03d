import { isIPv4, isIPv6 } from 'node:net';
import * as v from 'valibot';
import { ParseError } from '../lib/errors.ts';
import { formatAddress, parseAddress } from '../lib/prefix.ts';

/** Weave's: firewalls are open for it where Weave ran. TCP for links, UDP for what is asked without one. */
export const defaultMeshPort = 6783;

/** A DNS name has at most so many characters (RFC 1035 §2.3.4). */
const longestHost = 253;

/**
 * Where a host of a mesh takes links, as people write it: `192.0.2.1`, `h1.example:6784`, `2001:db8::1`, `[2001:db8::1]:6783`.
 * @returns the one text of it, always with a port
 * @throws ParseError
 */
export function parseMeshPlace(text: string): string {
  const [, bracketed, plain = '', digits = String(defaultMeshPort)] = isIPv6(text)
    ? [text, text]
    : (/^(?:\[([\da-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(text.slice(0, longestHost + 10)) ?? []);
  const host = bracketed ?? plain;
  const isHost = bracketed === undefined ? isIPv4(host) || isName(host) : isIPv6(host);
  const port = Number(digits);
  if (!isHost || port < 1 || port > 65_535) {
    const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
    throw new ParseError(`${shown} is not HOST or HOST:PORT, such as 192.0.2.1 or h1.example:${defaultMeshPort}`);
  }
  return bracketed === undefined
    ? `${host.toLowerCase()}:${port}`
    : `[${formatAddress(parseAddress(bracketed))}]:${port}`;
}

/** As short as people write it: without the port that everybody has. */
export function formatMeshPlace(place: string): string {
  const bare = place.endsWith(`:${defaultMeshPort}`) ? place.slice(0, -`:${defaultMeshPort}`.length) : place;
  return bare.replace(/^\[(.*)\]$/, '$1');
}

/** Four numbers with dots would be an address that is none. */
function isName(host: string): boolean {
  return (
    host.length <= longestHost &&
    !/^[\d.]+$/.test(host) &&
    host
      .replace(/\.$/, '')
      .split('.')
      .every((label) => /^\w([\w-]{0,61}\w)?$/.test(label))
  );
}

function placeOf(text: string): string | undefined {
  try {
    return parseMeshPlace(text);
  } catch {
    return undefined;
  }
}

export const MeshPlaceInput = v.pipe(
  v.string(),
  v.check((text) => placeOf(text) !== undefined, 'is not HOST or HOST:PORT'),
  v.transform(parseMeshPlace),
);
