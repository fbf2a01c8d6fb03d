import { openNamespaces } from '../kernel/namespace.ts';
import { openNetlink } from '../kernel/netlink/socket.ts';
import { openNftables } from '../kernel/nftables/nftables.ts';
import { links } from '../kernel/route/links.ts';
import { redirects } from '../kernel/route/redirects.ts';
import type { Syscalls } from '../kernel/syscall.ts';
import { messageOf } from '../lib/errors.ts';

/** Something that we ask of the kernel, and why it cannot be had. */
export interface Ability {
  readonly what: string;
  /** Without it nothing works; else it works less well. */
  readonly needed: boolean;
  readonly missing?: string;
}

const rules = (chain: string, hook: string, rule: string) => [
  'add table ip t',
  `add chain ip t ${chain} { ${hook}; }`,
  `add rule ip t ${chain} ${rule}`,
];

/** Tries all that the data plane is made of, in a namespace that is gone when this returns. */
export function tryAbilities(sys: Syscalls): readonly Ability[] {
  const namespaces = openNamespaces(sys);
  try {
    sys.unshare(CLONE_NEWNET);
    try {
      return tryHere(sys);
    } finally {
      namespaces.back();
    }
  } catch (error) {
    return [{ what: 'network namespaces', needed: true, missing: messageOf(error) }];
  } finally {
    namespaces.close();
  }
}

const CLONE_NEWNET = 0x40000000;

function tryHere(sys: Syscalls): readonly Ability[] {
  const nl = openNetlink(sys);
  const link = { mtu: 1450 };
  const attempt = (what: string, needed: boolean, task: () => void): Ability => {
    try {
      task();
      return { what, needed };
    } catch (error) {
      return { what, needed, missing: messageOf(error) };
    }
  };
  const nft = (commands: readonly string[]) => {
    const nftables = openNftables(sys);
    try {
      nftables.run('set a rule', commands);
    } finally {
      nftables.close();
    }
  };
  try {
    return [
      attempt('bridges', true, () => links.add(nl, { name: 'br0', ...link, info: { kind: 'bridge', bridge: {} } })),
      attempt('veth pairs', true, () =>
        links.add(nl, { name: 'v0', ...link, info: { kind: 'veth', peer: { name: 'v1' } } }),
      ),
      attempt('VXLAN devices', true, () =>
        links.add(nl, {
          name: 'x0',
          ...link,
          info: { kind: 'vxlan', vxlan: { id: 256, port: 4789, learning: false, proxy: true } },
        }),
      ),
      attempt('nftables with sets, fib and notrack', true, () =>
        nft(
          rules(
            'a',
            'type filter hook prerouting priority -450',
            'ip saddr { 192.0.2.1 } fib saddr . iif oif exists notrack',
          ),
        ),
      ),
      attempt('masquerading', true, () => nft(rules('b', 'type nat hook postrouting priority 100', 'masquerade'))),
      attempt('rules at the ingress of a device', true, () =>
        nft(['add table netdev t', 'add chain netdev t c { type filter hook ingress device "v0" priority 0; }']),
      ),
      attempt('redirecting frames between devices (else they go over the bridge, a little slower)', false, () => {
        const index = links.get(nl, 'v0')?.index ?? 0;
        if (!redirects.open(nl, index)) throw new Error('clsact, u32 or mirred is missing');
      }),
    ];
  } finally {
    nl.close();
  }
}
