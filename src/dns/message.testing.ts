import { readFileSync } from 'node:fs';
import { byteAt, CLASS, FLAG, headerSize, TYPE, u16, u32 } from './message.ts';
import { formatWireName, toWireName } from './wire-name.ts';

/** Messages that passed between dig and dnsmasq 2.90 or unbound 1.17. */
export const captured: readonly {
  readonly program: 'dnsmasq' | 'unbound';
  readonly transport: 'udp' | 'tcp';
  readonly command: string;
  readonly asked: string;
  readonly answered: string;
}[] = JSON.parse(readFileSync(new URL('captured.json', import.meta.url), 'utf8'));

export interface Told {
  readonly id: number;
  readonly rcode: number;
  readonly flags: readonly string[];
  readonly question: string | undefined;
  /** `NAME TTL TYPE DATA`, by section. */
  readonly records: readonly [
    answers: readonly string[],
    authorities: readonly string[],
    additional: readonly string[],
  ];
  readonly edns:
    | { readonly size: number; readonly rcode: number; readonly dnssec: boolean; readonly options: string }
    | undefined;
}

const types = new Map<number, string>(Object.entries(TYPE).map(([name, type]) => [type, name]));

/** A message as text, read with other code than that which writes it. */
export function tell(bytes: Buffer): Told {
  const counts = [6, 8, 10].map((at) => u16(bytes, at));
  const records: [string[], string[], string[]] = [[], [], []];
  let edns: Told['edns'];
  let question: string | undefined;
  let at = headerSize;
  if (u16(bytes, 4) > 0) {
    const { name, end } = readName(bytes, at);
    question = `${name} ${types.get(u16(bytes, end)) ?? u16(bytes, end)}`;
    at = end + 4;
  }
  for (const [section, list] of records.entries()) {
    for (let n = counts[section] ?? 0; n > 0; n--) {
      const { name, end } = readName(bytes, at);
      const type = u16(bytes, end);
      const data = end + 10;
      at = data + u16(bytes, end + 8);
      if (at > bytes.length) throw new Error(`a record that ends at ${at} of ${bytes.length}`);
      if (type === TYPE.OPT) {
        const options = bytes.subarray(data, at).toString('hex');
        edns = {
          size: u16(bytes, end + 2),
          rcode: byteAt(bytes, end + 4),
          dnssec: (u16(bytes, end + 6) & 0x8000) !== 0,
          options,
        };
      } else list.push(`${name} ${u32(bytes, end + 4)} ${types.get(type) ?? type} ${tellData(bytes, type, data, at)}`);
    }
  }
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes too many`);
  const flags = Object.entries(FLAG).filter(([, bit]) => (u16(bytes, 2) & bit) !== 0);
  return { id: u16(bytes, 0), rcode: u16(bytes, 2) & 15, flags: flags.map(([name]) => name), question, records, edns };
}

function tellData(bytes: Buffer, type: number, start: number, end: number): string {
  switch (type) {
    case TYPE.A:
      return bytes.subarray(start, end).join('.');
    case TYPE.PTR:
    case TYPE.CNAME:
      return readName(bytes, start).name;
    case TYPE.SRV:
      return `${[0, 2, 4].map((at) => u16(bytes, start + at)).join(' ')} ${readName(bytes, start + 6).name}`;
    case TYPE.SOA: {
      const mname = readName(bytes, start);
      const rname = readName(bytes, mname.end);
      return `${mname.name} ${rname.name} ${[0, 4, 8, 12, 16].map((at) => u32(bytes, rname.end + at)).join(' ')}`;
    }
    default:
      return bytes.subarray(start, end).toString('hex');
  }
}

function readName(bytes: Buffer, start: number): { readonly name: string; readonly end: number } {
  let wire = '';
  let at = start;
  let end: number | undefined;
  for (let jumps = 0; byteAt(bytes, at) !== 0; ) {
    const label = byteAt(bytes, at);
    if (label >= 0xc0) {
      if (++jumps > 10) throw new Error('pointers without end');
      end ??= at + 2;
      at = u16(bytes, at) & 0x3fff;
      continue;
    }
    wire += bytes.toString('latin1', at, at + 1 + label);
    at += 1 + label;
  }
  return { name: formatWireName(wire), end: end ?? at + 1 };
}

export interface AskOptions {
  readonly type?: keyof typeof TYPE | number;
  readonly class?: number;
  readonly id?: number;
  readonly flags?: number;
  /** With EDNS of this size. */
  readonly size?: number;
  readonly version?: number;
  readonly dnssec?: boolean;
  readonly options?: Buffer;
}

/** A question as a client sends it; the case of `name` is kept. */
export function ask(name: string, options: AskOptions = {}): Buffer {
  const wire = toWireName(name);
  if (wire === undefined && name !== '.') throw new Error(`${name} is no name`);
  const labels = name === '.' ? [] : name.split('.');
  const named = labels.map((label) => String.fromCharCode(label.length) + label).join('');
  const head = Buffer.alloc(headerSize);
  head.writeUInt16BE(options.id ?? 1, 0);
  head.writeUInt16BE(options.flags ?? FLAG.RD, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(options.size === undefined ? 0 : 1, 10);
  const tail = Buffer.alloc(4);
  const { type = 'A' } = options;
  tail.writeUInt16BE(typeof type === 'number' ? type : TYPE[type], 0);
  tail.writeUInt16BE(options.class ?? CLASS.IN, 2);
  const parts: Buffer[] = [head, Buffer.from(`${named}\0`, 'latin1'), tail];
  if (options.size !== undefined) {
    const extra = options.options ?? Buffer.alloc(0);
    const opt = Buffer.alloc(11);
    opt.writeUInt16BE(TYPE.OPT, 1);
    opt.writeUInt16BE(options.size, 3);
    opt.writeUInt8(options.version ?? 0, 6);
    opt.writeUInt16BE(options.dnssec === true ? 0x8000 : 0, 7);
    opt.writeUInt16BE(extra.length, 9);
    parts.push(opt, extra);
  }
  return Buffer.concat(parts);
}
