import * as v from 'valibot';
import { parseRecord } from './record.ts';
import { HexId, Name, SandboxId, Text, Time } from './text.ts';

const Argument = v.pipe(v.string(), v.maxLength(128 * 1024));

/** A process container of this host: what it was asked to be, and how it is. Kept on this host only. */
export const Container = v.looseObject({
  id: HexId,
  name: Name,
  created: Time,
  command: v.pipe(v.array(Argument), v.minLength(1), v.maxLength(4096)),
  env: v.pipe(v.array(Argument), v.maxLength(4096)),
  hostname: Text,
  rootfs: v.optional(Text),
  interactive: v.boolean(),
  tty: v.boolean(),
  /** Removed by itself when it ends (`--rm`). */
  remove: v.boolean(),
  sandbox: SandboxId,
  state: v.variant('status', [
    v.object({ status: v.literal('created') }),
    v.object({ status: v.literal('running'), pid: v.number(), started: Time }),
    v.object({ status: v.literal('exited'), exitCode: v.number(), started: Time, finished: Time }),
  ]),
});
export type Container = v.InferOutput<typeof Container>;

/** @throws ParseError */
export function parseContainer(json: unknown, place: string): Container {
  return parseRecord(Container, json, place);
}

/** The further names of a container on a network: those asked for, and the start of its id, as Docker's. */
export function aliasesOf({ id }: Pick<Container, 'id'>, asked: readonly string[]): string[] {
  return [...new Set([...asked, id.slice(0, 12)])];
}
