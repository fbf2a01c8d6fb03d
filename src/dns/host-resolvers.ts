import { readFile, stat } from 'node:fs/promises';
import { formatAddress, parseAddress } from '../lib/prefix.ts';
import { parseResolvConf } from '../lib/resolv-conf.ts';

/** Whom to ask for names that are not ours. */
export interface Resolver {
  readonly address: string;
  readonly port: number;
}

export interface HostResolvers {
  /**
   * Looked up at most once a second. Who asks often is told what was found last, and waits for nothing. Never fails: what
   * cannot be read names nobody.
   */
  list(): readonly Resolver[] | Promise<readonly Resolver[]>;
  /** As they were last. */
  readonly last: readonly Resolver[];
}

export interface HostResolversOptions {
  /** The file that programs of the host read. */
  readonly file?: string;
  /** Where systemd-resolved writes whom it asks, for when `file` names only itself. */
  readonly behindStub?: string;
  readonly port?: number;
  readonly now?: () => number;
  /** Called when they are others than before. */
  readonly onChange?: (resolvers: readonly Resolver[]) => void;
}

/** systemd-resolved(8): where it answers programs of the host. */
const stubs: readonly string[] = ['127.0.0.53', '127.0.0.54'];
const lookEvery = 1000;
/** What was found so long ago is not believed unseen: the host may be on another network by now. */
const believedFor = 3000;

export function openHostResolvers(options: HostResolversOptions = {}): HostResolvers {
  const { file = '/etc/resolv.conf', behindStub = '/run/systemd/resolve/resolv.conf' } = options;
  const { port = 53, now = () => performance.now() } = options;
  let last: readonly Resolver[] = [];
  let seen = '';
  let look: Promise<readonly Resolver[]> | undefined;
  let begun = -Infinity;
  let found = -Infinity;

  async function renew(): Promise<void> {
    const signs = await Promise.all([file, behindStub].map(signOf));
    const sign = signs.join(' ');
    if (sign === seen) return;
    const named = await nameserversIn(file);
    const stubOnly = named.length > 0 && named.every((address) => stubs.includes(address));
    const behind = stubOnly ? await nameserversIn(behindStub) : [];
    const addresses = (behind.length > 0 ? behind : named).map(canonical);
    seen = sign;
    if (addresses.join() === last.map(({ address }) => address).join()) return;
    last = addresses.map((address) => ({ address, port }));
    options.onChange?.(last);
  }

  return {
    get last() {
      return last;
    },
    list() {
      const time = now();
      if (look === undefined && time - begun >= lookEvery) {
        begun = time;
        look = renew().then(() => {
          found = time;
          look = undefined;
          return last;
        });
      }
      return look === undefined || time - found < believedFor ? last : look;
    },
  };
}

/** In the form that sockets give it; IPv4 in IPv6 (RFC 4291 §2.5.5.2) is IPv4. @throws ParseError */
export function canonical(text: string): string {
  const [plain = '', zone] = text.split('%');
  const address = formatAddress(parseAddress(plain)).replace(/^::ffff:(?=.*\.)/, '');
  return zone === undefined ? address : `${address}%${zone}`;
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
