import { type Foreign, ttlAt } from './foreign.ts';
import {
  byteAt,
  CLASS,
  DNSSEC_OK,
  type Edns,
  ednsLimit,
  type Fault,
  FLAG,
  headerSize,
  OPCODE,
  optSize,
  type Query,
  RCODE,
  recordHead,
  TYPE,
  u16,
} from './message.ts';

const largest = 65535;
/** A pointer to a name in the message (RFC 1035 §4.1.4). */
const POINTER = 0xc000;
/** What begins here or later no pointer reaches. */
export const farthestPointed = 0x4000;
const hostmaster = '\x0ahostmaster';
/** Serial, refresh, retry, expire: for secondaries, which there are none of. */
const soaTimes = [1, 3600, 600, 86400] as const;

/**
 * Writes answers into one buffer that is used again for each: who sends one that the kernel does not take at once calls
 * `renew`. Records are compressed by pointers to the question and to what was written before.
 */
export class Reply {
  #bytes = Buffer.allocUnsafeSlow(largest);
  #at = 0;
  #limit = largest;
  /** What records may fill, room for the OPT record kept. */
  #end = 0;
  #counts: [answers: number, authorities: number, additional: number] = [0, 0, 0];
  #edns: Edns | undefined;
  #truncated = false;
  #questions = 0;

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Leaves the bytes to whoever has them. */
  renew(): void {
    this.#bytes = Buffer.allocUnsafeSlow(largest);
  }

  /** An answer of at most `limit` bytes to what `decodeQuery` found in `request`, its question as it was asked. */
  begin(request: Buffer, { questionEnd, edns }: Query | Fault, limit: number): void {
    const bytes = this.#bytes;
    for (let at = 0; at < questionEnd; at++) bytes[at] = byteAt(request, at);
    this.#counts = [0, 0, 0];
    this.#at = questionEnd;
    this.#limit = limit;
    this.#end = limit - (edns === undefined ? 0 : optSize);
    this.#edns = edns;
    this.#truncated = false;
    this.#questions = questionEnd > headerSize ? 1 : 0;
  }

  /**
   * One record of a section that is not after a later one's. `owner` is where its name is in the message. What does not fit
   * is left out: of additional records silently, of others the answer is truncated.
   * @returns where its RDATA begins, undefined when it does not fit
   */
  record(section: 0 | 1 | 2, owner: number, type: number, ttl: number, rdata: string): number | undefined {
    const bytes = this.#bytes;
    const start = this.#at + 2 + recordHead;
    const end = start + rdata.length;
    if (end > this.#end) {
      if (section < 2) this.#truncated = true;
      return undefined;
    }
    set16(bytes, this.#at, POINTER | owner);
    set16(bytes, this.#at + 2, type);
    set16(bytes, this.#at + 4, CLASS.IN);
    set16(bytes, this.#at + 6, ttl >>> 16);
    set16(bytes, this.#at + 8, ttl);
    set16(bytes, this.#at + 10, rdata.length);
    for (let i = 0; i < rdata.length; i++) bytes[start + i] = rdata.charCodeAt(i);
    this.#at = end;
    this.#counts[section]++;
    return start;
  }

  /** The zone that begins at `apex` in the question, for answers that something is not there (RFC 2308 §3). */
  soa(apex: number, ttl: number): void {
    const pointer = text16(POINTER | apex);
    const times = [...soaTimes, ttl].map((time) => text16(time >>> 16) + text16(time & 0xffff)).join('');
    this.record(1, apex, TYPE.SOA, ttl, `${pointer}${hostmaster}${pointer}${times}`);
  }

  /** @returns the length of the answer */
  end(rcode: number, { authoritative }: { readonly authoritative: boolean }): number {
    return this.#finish(rcode, authoritative ? FLAG.AA : 0, this.#edns?.dnssec ?? false, undefined);
  }

  /**
   * What another server answered `age` seconds ago, in place of `record`, to be kept for `longest` seconds at most.
   * @returns the length of the answer
   */
  foreign(answer: Foreign, age: number, longest = Infinity): number {
    const { bytes: from, flags, questionEnd, records, edns } = answer;
    // Its upper bits need an OPT record.
    const rcode = answer.rcode > 15 && this.#edns === undefined ? RCODE.SERVFAIL : answer.rcode;
    const bytes = this.#bytes;
    const asked = this.#edns === undefined ? undefined : edns?.options;
    const options = asked !== undefined && questionEnd + asked.length <= this.#end ? asked : undefined;
    const room = this.#end - (options?.length ?? 0);
    // Records begin here where they began there: pointers stay right.
    const fits = records.findLastIndex(({ end }) => end <= room) + 1;
    const start = questionEnd;
    const end = records[fits - 1]?.end ?? start;
    from.copy(bytes, start, start, end);
    for (const { section, ttlAt: at } of records.slice(0, fits)) {
      this.#counts[section]++;
      bytes.writeUInt32BE(Math.max(0, Math.min(ttlAt(from, at) - age, longest)), at);
    }
    this.#at = end;
    this.#truncated = (records[fits]?.section ?? 2) < 2;
    // Over TCP nobody could ask for the rest.
    const passed = this.#limit === largest ? FLAG.AD : FLAG.TC | FLAG.AD;
    return this.#finish(rcode, flags & passed, edns?.dnssec ?? false, options);
  }

  #finish(rcode: number, extra: number, dnssec: boolean, options: Buffer | undefined): number {
    const bytes = this.#bytes;
    const asked = u16(bytes, 2) & (OPCODE | FLAG.RD | FLAG.CD);
    const flags = FLAG.QR | FLAG.RA | (this.#truncated ? FLAG.TC : 0) | asked | extra | (rcode & 0x0f);
    const [answers, authorities, additional] = this.#counts;
    set16(bytes, 2, flags);
    set16(bytes, 4, this.#questions);
    set16(bytes, 6, answers);
    set16(bytes, 8, authorities);
    set16(bytes, 10, additional + (this.#edns === undefined ? 0 : 1));
    if (this.#edns !== undefined) this.#opt(rcode, dnssec, options);
    return this.#at;
  }

  /** RFC 6891 §6.1.2. */
  #opt(rcode: number, dnssec: boolean, options: Buffer | undefined): void {
    const bytes = this.#bytes;
    const at = this.#at;
    const length = options?.length ?? 0;
    bytes[at] = 0;
    set16(bytes, at + 1, TYPE.OPT);
    set16(bytes, at + 3, ednsLimit);
    set16(bytes, at + 5, (rcode >>> 4) << 8);
    set16(bytes, at + 7, dnssec ? DNSSEC_OK : 0);
    set16(bytes, at + 9, length);
    options?.copy(bytes, at + optSize);
    this.#at = at + optSize + length;
  }
}

function set16(bytes: Buffer, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** As RDATA has it. */
export function text16(value: number): string {
  return String.fromCharCode(value >>> 8, value & 0xff);
}
