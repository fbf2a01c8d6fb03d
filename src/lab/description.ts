import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { parseJson, parseRecord } from '../model/record.ts';
import { hostName, mostHosts, mostSubnets } from './plan.ts';

/** What the folder of a lab says about it, in `lab.json`: enough to find everything of it again. */
const Description = v.object({
  hosts: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(mostHosts)),
  subnets: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(mostSubnets)),
  underlay: v.picklist([4, 6]),
  mtu: v.pipe(v.number(), v.integer()),
  store: v.string(),
  /** The process that it is tied to. */
  opener: v.optional(v.number()),
});
export type Description = v.InferOutput<typeof Description>;

/** @throws ParseError */
export function parseLabDescription(text: string, place: string): Description {
  return parseRecord(Description, parseJson(text, place), place);
}

export function fileOf(folder: string): string {
  return join(folder, 'lab.json');
}

/** Undefined when there is none yet, or half of one. */
export function readDescription(folder: string): Description | undefined {
  const file = fileOf(folder);
  try {
    return parseLabDescription(readFileSync(file, 'utf8'), file);
  } catch {
    return undefined;
  }
}

export const places = { underlay: 'underlay', outside: 'outside' } as const;

export function namesOfPlaces({ hosts }: { readonly hosts: number }): readonly string[] {
  return [...Object.values(places), ...Array.from({ length: hosts }, (_, i) => hostName(i))];
}
