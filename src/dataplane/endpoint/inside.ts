import type { SandboxPiece } from '../dataplane.ts';
import { type KernelObject, type ObjectId, object } from '../objects.ts';
import { namespaceOf } from './sandbox.ts';

/** What an interface is inside a sandbox; it goes with the veth that it is an end of. */
export function inside(
  sandbox: SandboxPiece,
  end: { readonly interface: string; readonly addresses: readonly string[] },
  link: ObjectId,
): KernelObject[] {
  const device = end.interface;
  const namespace = namespaceOf(sandbox);
  const isOurs = sandbox.adopted === undefined && sandbox.host === undefined;
  const setting = (name: string, value: string) =>
    object.sysctl(namespace, `net/ipv6/conf/${device}/${name}`, value, link);
  return [
    // In a sandbox of ours these are the defaults of every interface.
    ...(isOurs ? [] : [setting('accept_ra', '0')]),
    ...(!isOurs && end.addresses.some((a) => a.includes(':')) ? [setting('disable_ipv6', '0')] : []),
    ...end.addresses.map((address) => object.address(namespace, device, address, link)),
    object.up(namespace, device, link),
  ];
}
