import type { Client, ContainerView } from '../adapters/api/client.ts';
import { gatewayBridge } from '../model/interfaces.ts';

/** The lines of `weave ps`, one an interface: who has it, its MAC and its addresses. */
export async function weaveLines(client: Client, containers: readonly ContainerView[]): Promise<readonly string[]> {
  const status = await client.call('getStatus', {});
  const exposed = status.state === 'waiting' ? [] : status.exposed;
  return [
    ...exposed.map(({ mac = '', addresses }) => ['weave:expose', mac, ...addresses].join(' ')),
    ...containers.flatMap(({ Id, NetworkSettings }) =>
      Object.entries(NetworkSettings.Networks)
        .filter(([name]) => name !== gatewayBridge)
        .map(([, place]) => [Id.slice(0, 12), place.MacAddress, ...addressesOf(place)].join(' ')),
    ),
  ];
}

function addressesOf(place: ContainerView['NetworkSettings']['Networks'][string]): readonly string[] {
  const { IPAddress, IPPrefixLen, GlobalIPv6Address, GlobalIPv6PrefixLen, Addresses } = place;
  if (Addresses !== undefined) return Addresses;
  return [
    ...(IPAddress === '' ? [] : [`${IPAddress}/${IPPrefixLen}`]),
    ...(GlobalIPv6Address === '' ? [] : [`${GlobalIPv6Address}/${GlobalIPv6PrefixLen}`]),
  ];
}
