import type { SandboxPiece } from '../dataplane.ts';
import { FORWARDING } from '../host-settings.ts';
import { HOST, type KernelObject, object } from '../objects.ts';

/** A container's namespace. One that was adopted is pinned and otherwise left as it is, the host's is there. Pure. */
export function sandboxObjects({ id, host, adopted }: SandboxPiece): KernelObject[] {
  if (host) return host.forwards.map((family) => object.sysctl(HOST, FORWARDING[family === 4 ? 'ip' : 'ip6'], '1'));
  if (adopted) return [object.netns(id, adopted.inode)];
  return [object.netns(id), ...quiet(id), object.up(id, 'lo')];
}

/** The namespace that its interfaces are in. */
export function namespaceOf({ id, host }: SandboxPiece): string {
  return host ? HOST : id;
}

/**
 * Settings of a namespace that we make: no router is listened to, no address waits for duplicate detection (they are
 * ours to give), and no packet rule of another layer sees bridged frames.
 */
export function quiet(namespace: string): KernelObject[] {
  return [
    object.sysctl(namespace, 'net/ipv6/conf/default/accept_ra', '0'),
    object.sysctl(namespace, 'net/ipv6/conf/default/accept_dad', '0'),
    ...['iptables', 'ip6tables', 'arptables'].map((table) =>
      object.sysctl(namespace, `net/bridge/bridge-nf-call-${table}`, '0'),
    ),
  ];
}
