import { stat } from 'node:fs/promises';
import { isAbsolute, normalize } from 'node:path';
import * as v from 'valibot';
import { Refusal } from '../../lib/errors.ts';
import { parseAddress } from '../../lib/prefix.ts';
import { nameServerAddresses } from '../../model/name-server.ts';
import { isLoopback, isUnicast, Name } from '../../model/text.ts';
import type { ExecSpec, RunSpec } from './containers.ts';

/**
 * What is asked for, judged before anything is done. `listeners`: where names are answered besides the networks.
 * @throws Refusal 'invalid'
 */
export async function checkRun(spec: RunSpec, listeners: readonly string[] = []): Promise<void> {
  checkExec(spec);
  if (spec.name !== undefined && !v.safeParse(Name, spec.name).success) {
    throw new Refusal(
      'invalid',
      `Invalid container name (${spec.name.slice(0, 140)}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, and at most 128 of them`,
    );
  }
  if (spec.hostname !== undefined && !/^[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,62}[a-zA-Z0-9])?$/.test(spec.hostname)) {
    throw new Refusal('invalid', `invalid hostname: ${spec.hostname.slice(0, 80)}`);
  }
  if (spec.network === undefined) {
    const needing = { '--ip': spec.ip, '--ip6': spec.ip6, '--mac-address': spec.mac, '--alias': spec.aliases[0] };
    const [flag] = Object.entries(needing).find(([, value]) => value !== undefined) ?? [];
    const word = flag ?? spec.addresses?.[0];
    if (word !== undefined) throw new Refusal('invalid', `${word} needs a network: name one with --network`);
  }
  const { name: policy, most } = spec.restart ?? { name: 'no', most: 0 };
  if (spec.remove && policy !== 'no') {
    throw new Refusal('invalid', 'conflicting options: cannot specify both --restart and --rm');
  }
  if (policy !== 'on-failure' && most > 0) {
    throw new Refusal('invalid', `maximum retry count cannot be used with restart policy '${policy}'`);
  }
  for (const server of spec.dns?.servers ?? []) checkServer(server, listeners);
  if (spec.rootfs !== undefined) await checkRootfs(spec.rootfs);
}

/** @throws Refusal 'invalid' */
export function checkExec({ command, env, tty, size }: Pick<ExecSpec, 'command' | 'env' | 'tty' | 'size'>): void {
  if (command.length === 0 || command[0] === '') throw new Refusal('invalid', 'No command specified');
  const wrong = env.find((word) => word.indexOf('=') < 1);
  if (wrong !== undefined) throw new Refusal('invalid', `invalid environment variable: ${wrong.slice(0, 80)}`);
  if (size === undefined) return;
  if (!tty) throw new Refusal('invalid', 'a size is given, but no terminal');
  const fits = (length: number) => Number.isInteger(length) && length >= 1 && length <= 0xffff;
  if (!fits(size.rows) || !fits(size.columns)) {
    throw new Refusal('invalid', `a terminal of ${size.rows} rows and ${size.columns} columns`);
  }
}

/** The host asks them, so that its own loopback is as good as any address; it is not to ask itself. */
function checkServer(server: string, listeners: readonly string[]): void {
  const address = parseAddress(server);
  if (!isUnicast(address) && !isLoopback(address)) {
    throw new Refusal('invalid', `--dns ${server}: no server can have this address`);
  }
  if ([...Object.values<string>(nameServerAddresses), ...listeners].includes(server)) {
    throw new Refusal(
      'invalid',
      `--dns ${server}: this is where names are answered here; give the servers that it is to ask for others`,
    );
  }
}

async function checkRootfs(rootfs: string): Promise<void> {
  const status = isAbsolute(rootfs) ? await stat(rootfs).catch(() => undefined) : undefined;
  if (status?.isDirectory() !== true || normalize(`${rootfs}/`) === '/') {
    throw new Refusal(
      'invalid',
      `the root file system ${rootfs.slice(0, 200)} is not a directory below / named by its absolute path`,
    );
  }
}
