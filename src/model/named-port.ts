import * as v from 'valibot';
import { Port } from './text.ts';

/** A port that something listens at, which is found by its name: `_http._tcp.web`. */
export const NamedPort = v.object({
  name: v.pipe(
    v.string(),
    v.maxLength(62, 'is longer than 62 characters'),
    v.regex(/^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$/, 'is not a name of letters, digits and -'),
  ),
  port: Port,
  protocol: v.picklist(['tcp', 'udp', 'sctp']),
});
export type NamedPort = v.InferOutput<typeof NamedPort>;

export const NamedPorts = v.pipe(v.array(NamedPort), v.maxLength(64, 'are more than 64'));
