import type { PackedAddress } from './names.ts';
import { suffixStart, type WireName } from './wire-name.ts';

const inAddrArpa = '\x07in-addr\x04arpa';
const ip6Arpa = '\x03ip6\x04arpa';

/** The address that a name of the reverse zones stands for (RFC 1035 §3.5, RFC 3596 §2.5), undefined of any other name. */
export function addressOf(name: WireName): PackedAddress | undefined {
  if (!name.endsWith('\x04arpa')) return undefined;
  const v4 = suffixStart(name, inAddrArpa);
  if (v4 !== undefined) return packV4(name.slice(0, v4));
  const v6 = suffixStart(name, ip6Arpa);
  return v6 === undefined ? undefined : packV6(name.slice(0, v6));
}

function packV4(labels: string): PackedAddress | undefined {
  let packed = '';
  let at = 0;
  while (at < labels.length) {
    const length = labels.charCodeAt(at);
    const text = labels.slice(at + 1, at + 1 + length);
    if (!/^(0|[1-9]\d{0,2})$/.test(text) || Number(text) > 255) return undefined;
    packed = String.fromCharCode(Number(text)) + packed;
    at += 1 + length;
  }
  return packed.length === 4 ? packed : undefined;
}

function packV6(labels: string): PackedAddress | undefined {
  const [before, ...nibbles] = labels.split('\x01');
  if (before !== '' || nibbles.length !== 32 || nibbles.some((nibble) => !/^[0-9a-f]$/.test(nibble))) return undefined;
  return Buffer.from(nibbles.reverse().join(''), 'hex').toString('latin1');
}
