import { readFileSync } from 'node:fs';
import * as v from 'valibot';
import { Cluster } from '../model/cluster.ts';
import { parseJson, parseRecord } from '../model/record.ts';
import { HostId } from '../model/text.ts';

/** A host that this machine was, and what it has not given back yet because the store was away. */
const Departure = v.object({ host: HostId, cluster: Cluster, store: v.pipe(v.string(), v.maxLength(4096)) });
export type Departure = v.InferOutput<typeof Departure>;

const Departures = v.pipe(v.array(Departure), v.maxLength(64));

export function formatDepartures(departures: readonly Departure[]): string {
  return `${JSON.stringify(departures, undefined, 2)}\n`;
}

/** @throws ParseError */
export function parseDepartures(text: string, place: string): readonly Departure[] {
  return parseRecord(Departures, parseJson(text, place), place);
}

/** Those of a file; none when it is not there. @throws ParseError */
export function departuresIn(path: string): readonly Departure[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  return parseDepartures(text, path);
}
