import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openSyscalls } from '../../kernel/syscall.ts';
import { silent } from '../../lib/log.ts';
import { lookAtGuests, openForeign } from './open.ts';

const CLONE_NEWNET = 0x40000000;
const port = 4789;
const iptablesRule = `-p udp -m udp --dport ${port} -m conntrack --ctstate UNTRACKED -m comment --comment skein -j ACCEPT`;
const nftRule = `udp dport ${port} ct state untracked accept`;

/**
 * A chain `input` with policy drop, of rules `first` (which concerns no VXLAN), `all` (which drops) and `last`, and
 * ours where it says.
 */
interface Firewall {
  readonly needs: string;
  readonly make: (rules: readonly string[]) => string;
  readonly show: string;
}

const iptables = (program: string): Firewall => ({
  needs: `/usr/sbin/${program}-restore`,
  make: (rules) => {
    const words: Readonly<Record<string, string>> = {
      first: '-p tcp --dport 1 -j DROP',
      all: '-j DROP',
      last: '-i last -j DROP',
    };
    const lines = rules.map((rule) => `${program} -A INPUT ${words[rule] ?? iptablesRule}`);
    return [`${program} -F INPUT`, `${program} -P INPUT DROP`, ...lines].join('; ');
  },
  show: `${program} -S INPUT`,
});

const firewalls: Readonly<Record<string, Firewall>> = {
  nft: {
    needs: '/usr/sbin/nft',
    make: (rules) => {
      const words: Readonly<Record<string, string>> = {
        first: 'tcp dport 1 drop',
        all: 'drop',
        last: 'iifname last drop',
      };
      const lines = rules.map((rule) => `${words[rule] ?? `${nftRule} comment "skein"`};`);
      return `nft 'add table inet other; delete table inet other; add table inet other { chain input { type filter hook input priority 0; policy drop; ${lines.join(' ')} }; }'`;
    },
    show: 'nft list chain inet other input',
  },
  'iptables-nft': iptables('iptables-nft'),
  'iptables-legacy': iptables('iptables-legacy'),
};

/** Ours at a place where it is of no use, or in the user's way, or there twice. */
const wrong: Readonly<Record<string, readonly string[]>> = {
  'stands too late': ['first', 'all', 'ours', 'last'],
  'stands too early': ['ours', 'first', 'all', 'last'],
  'stands twice, first in its place': ['first', 'ours', 'all', 'ours', 'last'],
  'stands twice, last in its place': ['ours', 'first', 'ours', 'all', 'last'],
};

describe("our rules in others' chains", { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
  for (const [name, { needs, make, show }] of Object.entries(firewalls)) {
    for (const [what, rules] of Object.entries(wrong)) {
      test(`${name}: one that ${what} is moved, and that is said`, async (t) => {
        if (!existsSync(needs)) {
          t.skip(`this machine has no ${needs}`);
          return;
        }
        openSyscalls().unshare(CLONE_NEWNET);
        const state = mkdtempSync(join(tmpdir(), 'skein-foreign-'));
        t.after(() => rmSync(state, { recursive: true }));
        const sh = (script: string) => execFileSync('sh', ['-euc', script], { encoding: 'utf8' });
        sh(make(rules));
        if (rules.indexOf('ours') === rules.lastIndexOf('ours')) {
          const { missing, misplaced } = await lookAtGuests(port);
          assert.deepEqual([missing.length, misplaced.length], [0, 1]);
        }
        const said: string[] = [];
        const note = (message: string) => said.push(message);
        const foreign = await openForeign({ state, port, log: { ...silent, info: note, warn: note, error: note } });
        await foreign.close();
        assert.deepEqual(said, ['a rule of ours was moved to its place in a chain of others']);
        const marks = { ours: /skein/, first: /dport 1 /, last: /last/, all: /^\s*(drop|-A INPUT -j DROP)\s*$/ };
        const order = sh(show)
          .split('\n')
          .flatMap((line) => Object.entries(marks).flatMap(([mark, words]) => (words.test(line) ? [mark] : [])));
        assert.deepEqual(order, ['first', 'ours', 'all', 'last']);
      });
    }
  }
});
