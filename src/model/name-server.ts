/**
 * Where every container finds the name server. The IPv4 address is link-local. That of IPv6 is a unique local one (RFC 4193),
 * as a link-local one could only be written with a zone: no network may contain either.
 */
export const nameServerAddresses = { 4: '169.254.53.53', 6: 'fd53::53' } as const;
