import * as v from 'valibot';
import { parseRecord } from './record.ts';
import { HexId, Port, Text, Time } from './text.ts';

/** What this program can read and write. A cluster runs at the smallest of its hosts' levels. */
export const featureLevel = 1;

/** UDP port of VXLAN in a new cluster. */
export const defaultDataPort = 4789;

/** `/skein/cluster`: made once, by the first host. */
export const Cluster = v.looseObject({
  id: HexId,
  /** Grows with every restore; nothing is allocated in a store whose generation is older than one that was seen. */
  generation: v.pipe(v.number(), v.integer(), v.minValue(1)),
  featureLevel: v.pipe(v.number(), v.integer(), v.minValue(1)),
  created: Time,
  /** UDP port of VXLAN. */
  dataPort: Port,
  /** The one address family underneath. */
  underlay: v.picklist([4, 6]),
  /** Where the cluster's state went, if it was moved. */
  movedTo: v.optional(Text),
});
export type Cluster = v.InferOutput<typeof Cluster>;

/** @throws ParseError */
export function parseCluster(json: unknown, place: string): Cluster {
  return parseRecord(Cluster, json, place);
}
