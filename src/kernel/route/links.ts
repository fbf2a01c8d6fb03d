import { isKernelError, KernelError } from '../kernel-error.ts';
import { NLM_F } from '../netlink/message.ts';
import type { Netlink, Request } from '../netlink/socket.ts';
import { IFLA, ifinfomsg, type Link, type LinkChanges, type NewLink } from './link.ts';
import { RTM } from './rtnetlink.ts';

/** Leaves out the counters, most of a message. */
const RTEXT_FILTER_SKIP_STATS = 1 << 3;

/** What can be done with links. `*Message` builds the request only, for `Netlink.requests`. */
export const links = {
  /** Equivalent to `ip link show`. */
  list(nl: Netlink): Link[] {
    return nl.dump(getMessage('list links', 0), ({ payload }) => ifinfomsg.decode(payload));
  },

  /** @returns undefined when there is none of that name or index. Equivalent to `ip link show dev NAME`. */
  get(nl: Netlink, link: string | number): Link | undefined {
    try {
      const [reply] = nl.request(getMessage(`look up link ${link}`, link));
      return reply && ifinfomsg.decode(reply.payload);
    } catch (error) {
      if (isKernelError(error, 'ENODEV')) return undefined;
      throw error;
    }
  },

  addMessage(link: NewLink): Request {
    const payload = ifinfomsg.encodeNew(link);
    return { action: `add link ${link.name}`, type: RTM.NEWLINK, flags: NLM_F.CREATE | NLM_F.EXCL, payload };
  },

  /**
   * Makes a link, and a veth's peer with it, each in the namespace that it belongs to: all or nothing.
   * Equivalent to `ip link add NAME netns NS type veth peer name PEER netns NS` or
   * `ip link add NAME netns NS type vxlan id VNI local ADDRESS dstport PORT nolearning proxy`.
   */
  add(nl: Netlink, link: NewLink): void {
    nl.request(links.addMessage(link));
  },

  /** The same for a veth of the caller's namespace. @returns the indexes of both ends, each in its namespace */
  addVeth(nl: Netlink, link: NewLink): { readonly index: number; readonly peer: number } {
    const request = links.addMessage(link);
    // Kernels before 6.2 do not say what they made.
    const [echo] = nl.request({ ...request, flags: (request.flags ?? 0) | NLM_F.ECHO });
    const made = echo ? ifinfomsg.decode(echo.payload) : links.get(nl, link.name);
    if (made?.link === undefined) throw new KernelError(request.action, 'ENODEV', { detail: 'it is gone again' });
    return { index: made.index, peer: made.link };
  },

  /**
   * The requests that make the changes, in an order in which a port carries nothing before it is what it should be: joins
   * its bridge, gets its port flags, goes up. To be sent one by one: none after one that failed.
   */
  setMessages(index: number, changes: LinkChanges): Request[] {
    const { bridgePort, up, ...rest } = changes;
    const action = `set ${Object.keys(changes).join(', ')} of link ${index}`;
    const message = (payload: Uint8Array): Request => ({ action, type: RTM.NEWLINK, payload });
    if (bridgePort === undefined) return [message(ifinfomsg.encodeChanges(index, changes))];
    return [
      ...(Object.keys(rest).length > 0 ? [message(ifinfomsg.encodeChanges(index, rest))] : []),
      message(ifinfomsg.encodeBridgePort(index, bridgePort)),
      ...(up === undefined ? [] : [message(ifinfomsg.encodeChanges(index, { up }))]),
    ];
  },

  /** Equivalent to `ip link set dev NAME …` and `ip link set dev NAME type bridge_slave …`. */
  set(nl: Netlink, index: number, changes: LinkChanges): void {
    for (const message of links.setMessages(index, changes)) nl.request(message);
  },

  removeMessage(index: number): Request {
    return { action: `remove link ${index}`, type: RTM.DELLINK, payload: ifinfomsg.encodeQuery(index) };
  },

  /** Removes a link, and a veth's peer with it. Equivalent to `ip link delete dev NAME`. */
  remove(nl: Netlink, index: number): void {
    nl.request(links.removeMessage(index));
  },

  /**
   * Removes all links of a group (not 0, which all others are in), and none is no error. The kernel waits for its readers
   * once and not for each link: many times faster than one by one. Equivalent to `ip link delete group GROUP`.
   */
  removeGroup(nl: Netlink, group: number): void {
    const payload = ifinfomsg.encodeQuery(0, (attributes) => attributes.u32(IFLA.GROUP, group));
    try {
      nl.request({ action: `remove links of group ${group}`, type: RTM.DELLINK, payload });
    } catch (error) {
      if (!isKernelError(error, 'ENODEV')) throw error;
    }
  },
};

function getMessage(action: string, link: string | number): Request {
  const name = typeof link === 'string' ? link : undefined;
  const index = typeof link === 'number' ? link : 0;
  const payload = ifinfomsg.encodeQuery(index, (attributes) => {
    attributes.text(IFLA.IFNAME, name).u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  });
  return { action, type: RTM.GETLINK, payload };
}
