import { isKernelError, KernelError } from '../kernel/kernel-error.ts';
import type { Request } from '../kernel/netlink/socket.ts';
import { addresses, IFA_F } from '../kernel/route/addresses.ts';
import { links } from '../kernel/route/links.ts';
import { fdb, neighbours } from '../kernel/route/neighbours.ts';
import { type NewRoute, RTPROT, routes } from '../kernel/route/routes.ts';
import { formatAddress, formatPrefix, networkOf, parseInterfaceAddress } from '../lib/prefix.ts';
import type { AddressObject, KernelObject, RouteObject } from './objects.ts';
import type { Places } from './places.ts';
import { formatStep, type Step } from './plan.ts';

/** Objects that take one message each: what there is of them in a namespace is sent together. */
export type Entry = Extract<
  KernelObject,
  { kind: 'address' | 'neighbour' | 'vxlan-fdb' | 'bridge-fdb' | 'up' | 'route' }
>;

export function isEntry(object: KernelObject): object is Entry {
  return ['address', 'neighbour', 'vxlan-fdb', 'bridge-fdb', 'up', 'route'].includes(object.kind);
}

/** Works off steps of entries in one namespace, and tells `done` those that were. @throws KernelError of the first that failed */
export function applyEntries(places: Places, steps: readonly Step[], done: (step: Step) => void): void {
  const [first] = steps;
  if (first === undefined) return;
  const requests = steps.map((step) => requestsOf(places, step));
  const errors = places.netlink(first.object.namespace).requests(requests.flat());
  let failure: KernelError | undefined;
  let at = 0;
  for (const [i, step] of steps.entries()) {
    const end = at + (requests[i]?.length ?? 0);
    const error = errors.slice(at, end).find((e) => e !== undefined && !(step.do === 'remove' && isAbsence(e)));
    at = end;
    if (error) failure ??= new KernelError(`${formatStep(step)}: ${error.message}`, error.code, { cause: error });
    else done(step);
  }
  if (failure) throw failure;
}

function requestsOf(places: Places, step: Step): Request[] {
  const { object } = step;
  if (!isEntry(object)) return [];
  const add = step.do !== 'remove';
  const index = (name: string) => places.index(object.namespace, name);
  switch (object.kind) {
    case 'address': {
      if (step.do === 'change') return [routes.addMessage(connectedRoute(object, index(object.device)))];
      const address = { index: index(object.device), address: object.address, flags: IFA_F.NODAD };
      return [add ? addresses.addMessage(address) : addresses.removeMessage(address)];
    }
    case 'neighbour': {
      const entry = { index: index(object.device), address: object.address, mac: object.spec.mac };
      return [add ? neighbours.addMessage(entry) : neighbours.removeMessage(entry)];
    }
    case 'vxlan-fdb': {
      const entry = { index: index(object.device), mac: object.mac, dst: object.spec.via };
      return [add ? fdb.addMessage(entry) : fdb.removeMessage(entry)];
    }
    case 'bridge-fdb': {
      const entry = { index: index(object.spec.port), mac: object.mac };
      return [add ? fdb.addMessage(entry) : fdb.removeMessage(entry)];
    }
    case 'up':
      return links.setMessages(index(object.name), { up: add });
    case 'route': {
      const route = routeOf(object, index);
      if (!add) return [routes.removeMessage(route)];
      // Instead of one by another of the sandbox's interfaces, in one message.
      if (object.spec.via === undefined) return [routes.replaceMessage(route)];
      const old =
        step.do === 'change' && step.from.kind === 'route' ? [routes.removeMessage(routeOf(step.from, index))] : [];
      return [...old, routes.addMessage(route)];
    }
  }
}

/** As the kernel makes it with an address. */
function connectedRoute({ address: text }: AddressObject, oif: number): NewRoute {
  const { address, length } = parseInterfaceAddress(text);
  const dst = formatPrefix(networkOf({ address, length }));
  const kernel = { dst, oif, protocol: RTPROT.KERNEL };
  return address.family === 4 ? { ...kernel, prefsrc: formatAddress(address) } : { ...kernel, priority: 256 };
}

function routeOf({ dst, spec }: RouteObject, index: (name: string) => number) {
  return { dst, ...(spec.via === undefined ? {} : { via: spec.via }), oif: index(spec.device) };
}

function isAbsence(error: KernelError): boolean {
  return isKernelError(error, 'ENOENT', 'ESRCH', 'ENODEV', 'EADDRNOTAVAIL');
}
