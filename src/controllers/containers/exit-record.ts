import * as v from 'valibot';
import { parseJson, parseRecord } from '../../model/record.ts';

/** How a command ended, as its supervisor wrote it down. Times in milliseconds since 1970. */
const ExitRecord = v.object({
  exitCode: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)),
  started: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(8.64e15)),
  finished: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(8.64e15)),
  /** Bytes of output for which the disk had no room. */
  lost: v.pipe(v.number(), v.integer(), v.minValue(0)),
});
export type ExitRecord = v.InferOutput<typeof ExitRecord>;

/** @throws ParseError */
export function parseExitRecord(text: string, place: string): ExitRecord {
  return parseRecord(ExitRecord, parseJson(text, place), place);
}
