import type { Endpoint } from '../../model/endpoint.ts';
import type { Claims, Space } from '../../state/claims.ts';
import { claimed } from './holdings.ts';

export interface EndpointNamesNeeds {
  readonly claims: Pick<Claims, 'watch'>;
  /** Endpoints of this host that are connected to a network. */
  readonly ownOn: (network: string) => readonly Endpoint[];
  /** The one of them that has claimed a name. */
  readonly ownNamed: (network: string, name: string) => Endpoint | undefined;
  /** Is told of an endpoint of this host whose name or record seems not to be in the store any more. */
  readonly missing: (endpoint: string, what: 'name' | 'record') => void;
}

/** Sees to it that the endpoints of this host on one network have their names, as long as `signal` lets it. */
export async function followNames(
  space: Space & { readonly kind: 'endpoints' },
  needs: EndpointNamesNeeds,
  signal: AbortSignal,
): Promise<void> {
  const { network } = space;
  for await (const event of needs.claims.watch(space, { signal })) {
    switch (event.kind) {
      case 'snapshot':
        for (const { id, name } of needs.ownOn(network)) {
          if (event.holders.get(claimed(name))?.id !== id) needs.missing(id, 'name');
        }
        break;
      case 'put': {
        const own = needs.ownNamed(network, event.name);
        if (own !== undefined && own.id !== event.holder.id) needs.missing(own.id, 'name');
        break;
      }
      case 'delete': {
        const own = needs.ownNamed(network, event.name);
        if (own !== undefined) needs.missing(own.id, 'name');
        break;
      }
    }
  }
}
