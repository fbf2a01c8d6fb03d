import { readFile, stat } from 'node:fs/promises';
import { parseResolvConf } from '../../lib/resolv-conf.ts';

/** Whom to ask for names that are not ours. */
export interface Resolver {
  readonly address: string;
  readonly port: number;
}

export interface HostResolvers {
  /** As they are now, looked up at most once a second. Never fails: what cannot be read names nobody. */
  list(): Promise<readonly Resolver[]>;
  /** As they were last. */
  readonly last: readonly Resolver[];
}

export interface HostResolversOptions {
  /** The file that programs of the host read. */
  readonly file?: string;
  /** Where systemd-resolved writes whom it asks, for when `file` names only itself. */
  readonly behindStub?: string;
  /** Addresses that are answered here: to ask them would go round in a circle. */
  readonly own: readonly string[];
  readonly port?: number;
  readonly now?: () => number;
  /** Called when they are others than before. */
  readonly onChange?: (resolvers: readonly Resolver[]) => void;
}

/** systemd-resolved(8): where it answers programs of the host. */
const stubs: readonly string[] = ['127.0.0.53', '127.0.0.54'];
const lookEvery = 1000;

export function openHostResolvers(options: HostResolversOptions): HostResolvers {
  const { file = '/etc/resolv.conf', behindStub = '/run/systemd/resolve/resolv.conf' } = options;
  const { own, port = 53, now = () => performance.now() } = options;
  let last: readonly Resolver[] = [];
  let seen = '';
  let looked: { readonly at: number; readonly done: Promise<void> } | undefined;

  async function look(): Promise<void> {
    const signs = await Promise.all([file, behindStub].map(signOf));
    const sign = signs.join(' ');
    if (sign === seen) return;
    const named = await nameserversIn(file);
    const stubOnly = named.length > 0 && named.every((address) => stubs.includes(address));
    const behind = stubOnly ? await nameserversIn(behindStub) : [];
    const addresses = (behind.length > 0 ? behind : named).filter((address) => !own.includes(address));
    seen = sign;
    if (addresses.join() === last.map(({ address }) => address).join()) return;
    last = addresses.map((address) => ({ address, port }));
    options.onChange?.(last);
  }

  return {
    get last() {
      return last;
    },
    async list() {
      const time = now();
      if (looked === undefined || time - looked.at >= lookEvery) looked = { at: time, done: look() };
      await looked.done;
      return last;
    },
  };
}

async function nameserversIn(path: string): Promise<readonly string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return parseResolvConf(text).nameservers;
}

/** Another one whenever the file was written or replaced. */
async function signOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? '-' : `${found.dev}:${found.ino}:${found.mtimeNs}:${found.ctimeNs}:${found.size}`;
}
