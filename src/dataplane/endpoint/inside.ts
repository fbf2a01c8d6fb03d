import type { SandboxPiece } from '../dataplane.ts';
import { type KernelObject, type ObjectId, object } from '../objects.ts';

/** What an interface is inside a sandbox; it goes with the veth that it is an end of. */
export function inside(
  sandbox: SandboxPiece,
  end: { readonly interface: string; readonly addresses: readonly string[] },
  link: ObjectId,
): KernelObject[] {
  const device = end.interface;
  const setting = (name: string, value: string) =>
    object.sysctl(sandbox.id, `net/ipv6/conf/${device}/${name}`, value, link);
  return [
    // In a sandbox of ours these are the defaults of every interface.
    ...(sandbox.adopted === undefined ? [] : [setting('accept_ra', '0')]),
    ...(sandbox.adopted !== undefined && end.addresses.some((a) => a.includes(':'))
      ? [setting('disable_ipv6', '0')]
      : []),
    ...end.addresses.map((address) => object.address(sandbox.id, device, address, link)),
    object.up(sandbox.id, device, link),
  ];
}
