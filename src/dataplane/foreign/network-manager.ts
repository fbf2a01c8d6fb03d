import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Log } from '../../lib/log.ts';
import { EXPOSED } from '../endpoint/exposed.ts';
import { GATEWAY_BRIDGE } from '../gateway/gateway.ts';

/** NetworkManager takes a bridge or veth that appears for one to set up, unless a file of its own tells it not to. */
export const UNMANAGED_FILE = '/etc/NetworkManager/conf.d/90-skein.conf';
/** It is there while NetworkManager runs. */
const running = '/run/NetworkManager';

/** Not a section for devices, which is read when a device appears: this one is in force for those that are there, too. */
const text = `# Written by skein, and removed by skein reset: its devices are not NetworkManager's.
[keyfile]
unmanaged-devices+=interface-name:${GATEWAY_BRIDGE};interface-name:veth???????;interface-name:${EXPOSED}
`;

/** Writes the file where NetworkManager runs. */
export function unmanage(log: Log): void {
  if (!existsSync(running) || (existsSync(UNMANAGED_FILE) && readFileSync(UNMANAGED_FILE, 'utf8') === text)) return;
  mkdirSync(dirname(UNMANAGED_FILE), { recursive: true, mode: 0o755 });
  writeFileSync(UNMANAGED_FILE, text, { mode: 0o644 });
  log.info('NetworkManager is told to leave the devices of skein alone', { file: UNMANAGED_FILE });
  reload();
}

/** @returns whether there was anything to take back */
export function manageAgain(): boolean {
  if (!existsSync(UNMANAGED_FILE)) return false;
  rmSync(UNMANAGED_FILE);
  reload();
  return true;
}

/** It reads its files again; if it does not run it reads them at its start. */
function reload(): void {
  execFile('nmcli', ['general', 'reload', 'conf'], { timeout: 5_000 }, () => undefined);
}
