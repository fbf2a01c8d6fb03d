import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One datagram that went to the kernel or came from it. */
export interface Datagram {
  readonly sends: boolean;
  bytes: Buffer;
}

/** Runs a program under strace. @returns what it said over sockets, and what it was told. */
export function trace(command: readonly string[]): readonly Datagram[] {
  const folder = mkdtempSync(join(tmpdir(), 'capture-'));
  const file = join(folder, 'trace');
  const calls = 'trace=sendmsg,sendto,recvmsg,recvfrom';
  const strace = ['-qq', '-e', calls, '-e', 'write=all', '-e', 'read=all', '-o', file];
  try {
    spawnSync('strace', [...strace, ...command], { stdio: 'ignore' });
    return read(readFileSync(file, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A line for each call, and below it the bytes in rows of 16. */
function read(text: string): Datagram[] {
  const datagrams: Datagram[] = [];
  let looksOnly = false;
  for (const line of text.split('\n')) {
    if (/^(send|recv)/.test(line)) {
      looksOnly = line.includes('MSG_PEEK');
      if (!looksOnly) datagrams.push({ sends: line.startsWith('send'), bytes: Buffer.alloc(0) });
    }
    const datagram = datagrams.at(-1);
    if (looksOnly || datagram === undefined || !line.startsWith(' | ')) continue;
    const digits = /^[0-9a-f]*/.exec(line.slice(10, 59).replaceAll(' ', ''))?.[0] ?? '';
    datagram.bytes = Buffer.concat([datagram.bytes, Buffer.from(digits, 'hex')]);
  }
  return datagrams;
}
