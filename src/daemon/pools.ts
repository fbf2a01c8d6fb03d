import { formatAddress, formatPrefix, parsePrefix } from '../lib/prefix.ts';
import type { AddressPool } from '../model/setting-values.ts';

/** So many are tried of one pool: a host that routes more than these has other worries. */
const most = 256;

/** The networks that the gateway bridge may have, in order: each pool cut into pieces of its size. */
export function gatewayPools(pools: readonly AddressPool[]): readonly string[] {
  return pools.flatMap(({ range, size }) => {
    const { address, length } = parsePrefix(range);
    const count = Math.min(most, 2 ** (size - length));
    const bits = address.family === 4 ? 32 : 128;
    return Array.from({ length: count }, (_, i) => {
      const value = address.value + (BigInt(i) << BigInt(bits - size));
      return formatPrefix(parsePrefix(`${formatAddress({ family: address.family, value })}/${size}`));
    });
  });
}
