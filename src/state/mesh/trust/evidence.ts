import * as v from 'valibot';
import { hostIdOf } from '../../../model/host-key.ts';
import { parseRecord } from '../../../model/record.ts';
import { HexId, HostId } from '../../../model/text.ts';
import { contentAfter, nothing } from '../content.ts';
import type { Seal, StoredSheet } from '../environment.ts';
import { statement } from '../head.ts';
import { type Json, limits } from '../sheets.ts';
import { clusterIdOf, type Genesis, Signature } from './genesis.ts';
import { parseStatements } from './statements.ts';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER - 1));
const Version = v.tuple([Count, Count]);

/** A trust sheet with what proves it, as one host shows it to another that does not hold it. */
const Evidence = v.object({
  head: v.object({
    owner: HostId,
    scope: v.literal('trust'),
    version: Version,
    digest: HexId,
    over: v.optional(Version),
    signature: Signature,
  }),
  entries: v.array(
    v.tuple([v.pipe(v.string(), v.maxLength(limits.key)), v.custom<Json>((value) => value !== undefined)]),
  ),
});

/**
 * The trust sheets among what another host shows that their owners signed. A key is known by who warrants it, also in a
 * sheet that is shown beside it.
 * @throws ParseError for what is no trust sheet
 */
export function parseEvidence(
  shown: readonly unknown[],
  { genesis, seal }: { readonly genesis: Genesis; readonly seal: Pick<Seal, 'hash' | 'verify'> },
): readonly StoredSheet[] {
  const sheets = shown.map((sheet) => parseRecord(Evidence, sheet, 'a trust sheet that was shown'));
  const warrants = sheets.flatMap(({ entries }) => parseStatements(new Map(entries)).warrants);
  const keys = new Map([genesis.founder, ...warrants.map(({ key }) => key)].map((key) => [hostIdOf(key), key]));
  const cluster = clusterIdOf(genesis);
  return sheets.filter(({ head, entries }) => {
    const key = keys.get(head.owner);
    if (key === undefined || !seal.verify(key, statement(cluster, head), head.signature)) return false;
    return contentAfter(nothing, { put: entries, gone: [] }, seal)?.digest === head.digest;
  });
}
