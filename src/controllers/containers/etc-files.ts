import { createHash } from 'node:crypto';
import { open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { withoutLength } from '../../lib/prefix.ts';
import { Serial } from '../../lib/serial.ts';
import type { Container } from '../../model/container.ts';
import type { Endpoints, Sandbox } from '../endpoints/endpoints.ts';
import { formatHosts } from './etc.ts';
import { formResolvConf } from './resolv-conf.ts';
import type { ShimPlace } from './shim.ts';

export interface EtcFilesNeeds {
  readonly endpoints: Pick<Endpoints, 'sandbox'>;
  readonly placeOf: (container: string) => ShimPlace;
  /** Paths of the host's `resolv.conf`s; what is not there counts as empty. */
  readonly resolvConfs: readonly string[];
  /** Where names are answered to who is on a network, by the family of its addresses; nowhere unless said. */
  readonly nameServers?: { readonly 4: string; readonly 6: string };
  readonly log: Log;
}

/** A longer `resolv.conf` than this is none of ours. */
const longest = 64 * 1024;

/**
 * The files that a supervisor binds over those in a container's `/etc`. What was written to `resolv.conf` is noted beside it,
 * before it is written: what is there and not noted is its user's, and stays.
 */
export class EtcFiles {
  readonly #needs: EtcFilesNeeds;
  readonly #serial = new Serial();
  /** By container: the server that its file names, '' for those of the host; not there: not looked at yet. */
  readonly #named = new Map<string, string>();

  constructor(needs: EtcFilesNeeds) {
    this.#needs = needs;
  }

  /** All of them, for a life that begins in this sandbox. */
  async write(container: Container, sandbox: Sandbox): Promise<void> {
    const { id, hostname, dns } = container;
    const { directory } = this.#needs.placeOf(id);
    await this.#serial.run(id, async () => {
      const server = this.#serverOf(sandbox);
      const text = formResolvConf({ candidates: await this.#candidates(), dns, server });
      await Promise.all([
        writeFile(join(directory, 'hosts'), formatHosts(hostname, addressesOf(sandbox)), { mode: 0o644 }),
        writeFile(join(directory, 'hostname'), `${hostname}\n`, { mode: 0o644 }),
        writeFile(join(directory, 'resolv.conf'), text, { mode: 0o644 }),
        writeFile(join(directory, noteName), `${sumOf(text)}\n`, { mode: 0o600 }),
      ]);
      this.#named.set(id, server ?? '');
    });
  }

  /**
   * Names the right server in the `resolv.conf` of one that runs, when its networks say so. Costs nothing while they do
   * not. Never rejects.
   */
  async follow(container: Container): Promise<void> {
    const { id, dns } = container;
    await this.#serial.run(id, async () => {
      const sandbox = this.#needs.endpoints.sandbox(container.sandbox);
      const server = sandbox && this.#serverOf(sandbox);
      if (sandbox === undefined || this.#named.get(id) === (server ?? '')) return;
      try {
        const candidates = await this.#candidates();
        const text = formResolvConf({ candidates, dns, server });
        // What an earlier release wrote has no note.
        const plain = formResolvConf({ candidates, dns });
        const isOurs = await rewrite(this.#needs.placeOf(id).directory, text, plain);
        if (!isOurs) this.#needs.log.info('a resolv.conf is left as its user changed it', { container: id });
        this.#named.set(id, server ?? '');
      } catch (error) {
        this.#needs.log.warn('a resolv.conf was not rewritten yet', { container: id, error: messageOf(error) });
      }
    });
  }

  forget(container: string): void {
    this.#named.delete(container);
  }

  #serverOf({ endpoints }: Sandbox): string | undefined {
    const { nameServers } = this.#needs;
    if (nameServers === undefined || endpoints.size === 0) return undefined;
    const own = Array.from(endpoints.values(), ({ endpoint }) => endpoint.addresses).flat();
    return own.some((address) => !address.includes(':')) ? nameServers[4] : nameServers[6];
  }

  async #candidates(): Promise<readonly string[]> {
    return await Promise.all(this.#needs.resolvConfs.map((path) => readFile(path, 'utf8').catch(() => '')));
  }
}

const noteName = 'resolv.conf.sums';

/**
 * In place: the file is bound into the container. Written in one piece over what was there and then cut, it is never empty or
 * half, and what a death leaves of it is known again.
 * @returns false when its user has changed it, and it was left alone
 */
async function rewrite(directory: string, text: string, plain: string): Promise<boolean> {
  const note = join(directory, noteName);
  const sums = (await readFile(note, 'utf8').catch(() => '')).split('\n').slice(0, 2);
  const file = await open(join(directory, 'resolv.conf'), 'r+');
  try {
    const { size } = await file.stat();
    const before = size > longest ? undefined : await file.readFile('utf8');
    if (before === undefined || ![sumOf(plain), ...sums].includes(sumOf(before))) return false;
    if (before === text) return true;
    await writeFile(`${note}.new`, `${sumOf(text)}\n${sumOf(before)}\n`, { mode: 0o600 });
    await rename(`${note}.new`, note);
    await file.write(text.padEnd(size, '\n'), 0);
    await file.truncate(Buffer.byteLength(text));
    return true;
  } finally {
    await file.close();
  }
}

function sumOf(text: string): string {
  return createHash('sha256').update(text.trimEnd()).digest('hex');
}

function addressesOf({ endpoints, exit }: Sandbox): readonly string[] {
  const own = Array.from(endpoints.values(), ({ endpoint }) => endpoint.addresses).flat();
  return [...own, ...(exit?.addresses ?? [])].map(withoutLength);
}
