import { Reader, Writer } from '../../lib/bytes.ts';
import { AttributeWriter, decodeAttributes } from '../netlink/attribute.ts';
import { NLM_F } from '../netlink/message.ts';
import type { Netlink, Request } from '../netlink/socket.ts';
import { AF, familyOf, RTM, splitPrefix } from './rtnetlink.ts';

/** Addresses of links (rtnetlink RTM_NEWADDR and its kin; linux/if_addr.h). */
export interface IfAddress {
  /** Of the link. */
  readonly index: number;
  /** `10.0.0.2/24` */
  readonly address: string;
  /** IFA_F */
  readonly flags: number;
  /** RT_SCOPE: 0 is global, 253 link, 254 host. */
  readonly scope: number;
}

/** One to be added: global and without flags unless said. */
export type NewIfAddress = Pick<IfAddress, 'index' | 'address'> & Partial<IfAddress>;

export const IFA_F = { NODAD: 0x02, DADFAILED: 0x08, TENTATIVE: 0x40, PERMANENT: 0x80, NOPREFIXROUTE: 0x200 } as const;

const IFA = { ADDRESS: 1, LOCAL: 2, FLAGS: 8 } as const;

//  struct ifaddrmsg: | ifa_family:8 | ifa_prefixlen:8 | ifa_flags:8 | ifa_scope:8 | ifa_index:32 |
/** The content of an RTM_*ADDR message: header, then IFA_* attributes. */
export const ifaddrmsg = {
  encode({ index, address: text, flags = 0, scope = 0 }: NewIfAddress): Uint8Array {
    const { address, length } = splitPrefix(text);
    const writer = new Writer();
    // The header's flags have room for eight only; IFA_FLAGS replaces them.
    writer.u8(familyOf(address)).u8(length).u8(0).u8(scope).u32le(index);
    const attributes = new AttributeWriter(writer).address(IFA.LOCAL, address).address(IFA.ADDRESS, address);
    attributes.u32(IFA.FLAGS, flags === 0 ? undefined : flags);
    return writer.finish();
  },

  /** @throws DecodeError */
  decode(payload: Uint8Array): IfAddress {
    const reader = new Reader(payload, 'ifaddrmsg');
    reader.skip(1);
    const length = reader.u8();
    const flags = reader.u8();
    const scope = reader.u8();
    const index = reader.u32le();
    const attributes = decodeAttributes(reader.rest(), 'IFA');
    // On a point-to-point link IFA_ADDRESS is the other end.
    const address = attributes.address(IFA.LOCAL) ?? attributes.address(IFA.ADDRESS) ?? reader.fail('no address');
    return { index, address: `${address}/${length}`, flags: attributes.u32(IFA.FLAGS) ?? flags, scope };
  },
};

/** What can be done with addresses. `*Message` builds the request only, for `Netlink.requests`. */
export const addresses = {
  /** Of one link, or of all. Equivalent to `ip address show dev LINK`. */
  list(nl: Netlink, filter: { readonly index?: number } = {}): IfAddress[] {
    const payload = new Writer()
      .u8(AF.UNSPEC)
      .zeros(3)
      .u32le(filter.index ?? 0)
      .finish();
    const request = { action: 'list addresses', type: RTM.GETADDR, payload };
    return nl.dump(request, (reply) => ifaddrmsg.decode(reply.payload));
  },

  addMessage(address: NewIfAddress): Request {
    const action = `add address ${address.address} to link ${address.index}`;
    const flags = NLM_F.CREATE | NLM_F.EXCL;
    return { action, type: RTM.NEWADDR, flags, payload: ifaddrmsg.encode(address) };
  },

  /** Equivalent to `ip address add ADDRESS/LENGTH dev LINK`, with IFA_F.NODAD `nodad`. */
  add(nl: Netlink, address: NewIfAddress): void {
    nl.request(addresses.addMessage(address));
  },

  removeMessage(address: NewIfAddress): Request {
    const action = `remove address ${address.address} of link ${address.index}`;
    return { action, type: RTM.DELADDR, payload: ifaddrmsg.encode(address) };
  },

  /** Equivalent to `ip address delete ADDRESS/LENGTH dev LINK`. */
  remove(nl: Netlink, address: NewIfAddress): void {
    nl.request(addresses.removeMessage(address));
  },
};
