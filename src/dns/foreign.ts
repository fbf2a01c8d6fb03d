import { DecodeError } from '../lib/errors.ts';
import {
  areOptions,
  byteAt,
  DNSSEC_OK,
  endToEnd,
  FLAG,
  headerSize,
  RCODE,
  recordHead,
  skipName,
  TYPE,
  u16,
  u32,
} from './message.ts';

/** An answer of another server. Its records are passed on as they are: nothing of their RDATA is read but a SOA's last number. */
export interface Foreign {
  readonly bytes: Buffer;
  readonly flags: number;
  /** With the upper bits that the OPT record has (RFC 6891 §6.1.3). */
  readonly rcode: number;
  /** 0 where a server that could not read the question does not repeat it. */
  readonly questions: 0 | 1;
  readonly questionEnd: number;
  /** All up to the OPT record, which belongs to one hop; what follows it is in the additional section and can be left out. */
  readonly records: readonly ForeignRecord[];
  readonly edns: { readonly dnssec: boolean; readonly options: Buffer } | undefined;
  /** It says that there is no such name, or nothing of the type at its end (RFC 2308 §2). */
  readonly negative: boolean;
  /** Seconds that it may be kept for; undefined when nobody said (RFC 2308 §5). */
  readonly ttl: number | undefined;
}

export interface ForeignRecord {
  readonly section: 0 | 1 | 2;
  readonly ttlAt: number;
  readonly end: number;
}

const sections = [0, 1, 2] as const;
/** A record takes eleven bytes at least, and a message has at most 65535. */
const mostRecords = 5957;
/** RFC 2181 §8: the upper half counts as zero. */
const largestTtl = 0x7fffffff;

/** @throws DecodeError */
export function decodeForeign(bytes: Buffer): Foreign {
  if (bytes.length < headerSize) throw new DecodeError('an answer without a header');
  const flags = u16(bytes, 2);
  const counts = sections.map((section) => u16(bytes, 6 + 2 * section));
  const questions = u16(bytes, 4);
  if ((flags & FLAG.QR) === 0 || (flags & 0x7800) !== 0) throw new DecodeError('not an answer to a question');
  if (questions !== 0 && questions !== 1) throw new DecodeError(`an answer to ${questions} questions`);
  if (counts.reduce((sum, count) => sum + count) > mostRecords) throw new DecodeError('more records than can be');
  const questionEnd = questions === 0 ? headerSize : endOfQuestion(bytes);
  const records: ForeignRecord[] = [];
  const asked = questions === 0 ? undefined : u16(bytes, questionEnd - 4);
  const seen = { ttl: Infinity, found: false, soa: false };
  let edns: Foreign['edns'];
  let rcode = flags & 0x0f;
  let at = questionEnd;
  for (const section of sections) {
    for (let n = counts[section] ?? 0; n > 0; n--) {
      const head = skipName(bytes, at);
      if (head === undefined || head + recordHead > bytes.length) throw new DecodeError('a record that does not fit');
      const end = head + recordHead + u16(bytes, head + 8);
      if (end > bytes.length) throw new DecodeError('a record longer than its message');
      const type = u16(bytes, head);
      if (type === TYPE.OPT) {
        if (section !== 2 || edns !== undefined) throw new DecodeError('an OPT record where none may be');
        const options = bytes.subarray(head + recordHead, end);
        if (!areOptions(options)) throw new DecodeError('options that do not fill their record');
        edns = { dnssec: (u16(bytes, head + 6) & DNSSEC_OK) !== 0, options: endToEnd(options) };
        rcode |= byteAt(bytes, head + 4) << 4;
      } else if (edns === undefined) {
        records.push({ section, ttlAt: head + 4, end });
        seen.ttl = Math.min(seen.ttl, ttlAt(bytes, head + 4));
        if (section === 0 && (type === asked || asked === TYPE.ANY)) seen.found = true;
        if (section === 1 && type === TYPE.SOA && end >= head + recordHead + 4) {
          seen.soa = true;
          seen.ttl = Math.min(seen.ttl, ttlAt(bytes, end - 4));
        }
      }
      at = end;
    }
  }
  if (at !== bytes.length) throw new DecodeError('an answer with something behind it');
  const negative = rcode === RCODE.NXDOMAIN || (rcode === RCODE.NOERROR && !seen.found);
  const says = rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN;
  const keeps = says && (flags & FLAG.TC) === 0 && (!negative || seen.soa);
  return { bytes, flags, rcode, questions, questionEnd, records, edns, negative, ttl: keeps ? seen.ttl : undefined };
}

function endOfQuestion(bytes: Buffer): number {
  const end = skipName(bytes, headerSize);
  if (end === undefined || end + 4 > bytes.length) throw new DecodeError('a question that does not fit');
  return end + 4;
}

export function ttlAt(bytes: Buffer, at: number): number {
  const ttl = u32(bytes, at);
  return ttl > largestTtl ? 0 : ttl;
}
