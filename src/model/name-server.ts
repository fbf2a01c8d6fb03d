/**
 * Where every container finds the name server. The IPv4 address is link-local. That of IPv6 is a unique local one (RFC 4193),
 * as a link-local one could only be written with a zone: no network may contain either.
 */
export const nameServerAddresses = { 4: '169.254.53.53', 6: 'fd53::53' } as const;

/** Subnets that no network may have, as those addresses are in them. */
export const nameServerSubnets = ['169.254.0.0/16', 'fd53::/64'] as const;
