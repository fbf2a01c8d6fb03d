import { KernelError } from '../kernel-error.ts';
import type { NftContext, Syscalls } from '../syscall.ts';
import { parseRuleset, type Ruleset } from './ruleset.ts';

/** The packet rules of one network namespace, in nft's own language. */
export interface Nftables {
  /** Does all the commands (one a line) or none. Equivalent to `nft -f -`. @throws KernelError with nft's words */
  run(action: string, commands: readonly string[]): void;
  /** What a `list` command shows; undefined when there is no such table. @throws KernelError */
  list(what: string): Ruleset | undefined;
  /** May be called twice. */
  close(): void;
}

/** Of the namespace that the calling thread is in, for good. @throws KernelError ENOENT when libnftables is not installed */
export function openNftables(sys: Syscalls): Nftables {
  const context: NftContext = sys.openNft();
  return {
    run(action, commands) {
      if (commands.length === 0) return;
      const { code, error } = context.run(commands.join('\n'));
      if (code !== 0) throw failure(action, error);
    },
    list(what) {
      const { code, output, error } = context.run(`list ${what}`);
      if (code === 0) return parseRuleset(output);
      if (error.includes('No such file or directory')) return undefined;
      throw failure(`list ${what}`, error);
    },
    close: () => context.close(),
  };
}

/** nft says `<where>: Error: <why>`, then the command with a line of marks below; the first line is what matters. */
function failure(action: string, error: string): KernelError {
  const detail = /Error: (.*)/.exec(error)?.[1] ?? error.split('\n', 1)[0] ?? '';
  const code = Object.entries(codes).find(([, text]) => detail.includes(text))?.[0] ?? 'EINVAL';
  return new KernelError(action, code, { detail: `nft: ${detail}` });
}

const codes = {
  ENOENT: 'No such file or directory',
  EEXIST: 'File exists',
  EPERM: 'Operation not permitted',
  EBUSY: 'Device or resource busy',
  EOPNOTSUPP: 'Operation not supported',
} as const;
