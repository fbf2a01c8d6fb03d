/** Names that all kinds of rtnetlink messages share (linux/rtnetlink.h). */

export const AF = { UNSPEC: 0, INET: 2, BRIDGE: 7, INET6: 10 } as const;

export const RTM = {
  ...{ NEWLINK: 16, DELLINK: 17, GETLINK: 18 },
  ...{ NEWADDR: 20, DELADDR: 21, GETADDR: 22 },
  ...{ NEWROUTE: 24, DELROUTE: 25, GETROUTE: 26 },
  ...{ NEWNEIGH: 28, DELNEIGH: 29, GETNEIGH: 30 },
  ...{ NEWQDISC: 36, DELQDISC: 37 },
  ...{ NEWTFILTER: 44, DELTFILTER: 45, GETTFILTER: 46 },
} as const;

/** Multicast groups for `openNotifications`. */
export const RTNLGRP = {
  LINK: 1,
  NEIGH: 3,
  TC: 4,
  IPV4_IFADDR: 5,
  IPV4_ROUTE: 7,
  IPV6_IFADDR: 9,
  IPV6_ROUTE: 11,
} as const;

/** The family of an address in text. */
export function familyOf(address: string): typeof AF.INET | typeof AF.INET6 {
  return address.includes(':') ? AF.INET6 : AF.INET;
}

/** `10.0.0.0/8` as its two halves. @throws RangeError: the text is ours and was checked at the door. */
export function splitPrefix(text: string): { readonly address: string; readonly length: number } {
  const [address = '', digits = ''] = text.split('/');
  const length = Number(digits);
  if (digits === '' || !Number.isInteger(length)) throw new RangeError(`${JSON.stringify(text)} has no prefix length`);
  return { address, length };
}
