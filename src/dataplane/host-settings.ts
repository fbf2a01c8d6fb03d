import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { sysctls } from '../kernel/sysctl.ts';

/** In the state directory. */
export const SETTINGS_FILE = 'sysctls.json';

/**
 * Settings of the host itself that we changed, with what they were before, in a file that outlives the daemon: what is in
 * it is ours to take back.
 */
export class HostSettings {
  readonly #file: string;
  readonly #former: Map<string, string>;

  constructor(file: string) {
    this.#file = file;
    this.#former = read(file);
  }

  /** Paths that were set, without those that had to follow. */
  paths(): readonly string[] {
    return [...this.#former.keys()].filter((path) => !isAdvertisement(path));
  }

  set(path: string, value: string): void {
    if (path === FORWARDING.ip6) this.#keepAdvertisements();
    const former = sysctls.get(path);
    if (former === undefined) return;
    if (!this.#former.has(path)) this.#record(path, former);
    sysctls.set(path, value);
  }

  /** Back to what it was. */
  restore(path: string): void {
    const former = this.#former.get(path);
    if (former === undefined) return;
    sysctls.set(path, former);
    this.#former.delete(path);
    this.#write();
    if (path === FORWARDING.ip6)
      for (const each of [...this.#former.keys()].filter(isAdvertisement)) this.restore(each);
  }

  /** As it is from now on: what it was is forgotten. @returns whether it was ours to take back */
  leave(path: string): boolean {
    if (!this.#former.delete(path)) return false;
    if (path === FORWARDING.ip6)
      for (const each of [...this.#former.keys()].filter(isAdvertisement)) this.#former.delete(each);
    this.#write();
    return true;
  }

  /** A host that forwards ignores router advertisements unless accept_ra is 2: who lived by them goes on doing so. */
  #keepAdvertisements(): void {
    for (const name of readdirSync('/proc/sys/net/ipv6/conf')) {
      const path = `net/ipv6/conf/${name}/accept_ra`;
      if (sysctls.get(path) === '1') this.set(path, '2');
    }
  }

  /** Before it is changed, so that no crash loses what it was. */
  #record(path: string, former: string): void {
    this.#former.set(path, former);
    this.#write();
  }

  #write(): void {
    if (this.#former.size === 0) {
      rmSync(this.#file, { force: true });
      return;
    }
    mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
    writeFileSync(`${this.#file}.new`, `${JSON.stringify(Object.fromEntries(this.#former), undefined, 2)}\n`);
    renameSync(`${this.#file}.new`, this.#file);
  }
}

/** Whether the host forwards packets. */
export const FORWARDING = { ip: 'net/ipv4/ip_forward', ip6: 'net/ipv6/conf/all/forwarding' } as const;

function isAdvertisement(path: string): boolean {
  return path.endsWith('/accept_ra');
}

/** An unreadable record is as good as none: then nothing is taken back. */
function read(file: string): Map<string, string> {
  try {
    const json: unknown = JSON.parse(readFileSync(file, 'utf8'));
    const entries = typeof json === 'object' && json !== null ? Object.entries(json) : [];
    return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  } catch {
    return new Map();
  }
}

/** Settings of this host that are not as they were before us; of a state directory. */
export function changedSettings(
  state: string,
): readonly { readonly path: string; readonly was: string; readonly is: string }[] {
  return [...read(`${state}/${SETTINGS_FILE}`)].map(([path, was]) => ({ path, was, is: sysctls.get(path) ?? '' }));
}
