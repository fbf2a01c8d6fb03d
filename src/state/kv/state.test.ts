import { silent } from '../../lib/log.ts';
import { keysBelow } from '../../model/keys.ts';
import { allocatorContract } from '../allocator.contract.ts';
import { catalogContract } from '../catalog.contract.ts';
import { claimsContract } from '../claims.contract.ts';
import { hexId, hostIdOf, type StateClient, type StateHarness, type StateKind } from '../records.contract.ts';
import { registryContract } from '../registry.contract.ts';
import { type StoreHarness, type StoreKind, storeKinds } from './harness.contract.ts';
import { openStateIn } from './open.ts';

const keys = keysBelow('/skein');
const proposal = {
  id: hexId('cluster'),
  generation: 1,
  featureLevel: 1,
  created: '2026-01-01T00:00:00.000Z',
  dataPort: 4789,
  underlay: 4,
} as const;

async function startState(stores: StoreHarness): Promise<StateHarness> {
  const clients = new Set<StateClient>();
  const admin = await stores.open();
  let epoch = 0;
  return {
    async join(name) {
      const host = hostIdOf(name);
      const state = await openStateIn(await stores.open(), {
        keys,
        host,
        epoch: ++epoch,
        proposal,
        log: silent,
        ttl: 1_000,
      });
      const client: StateClient = {
        host,
        registry: state.registry,
        catalog: state.catalog,
        allocator: state.allocator,
        claims: state.claims,
        skipped: () => state.skipped(),
        async settled() {
          const late = AbortSignal.timeout(10_000);
          for await (const judges of state.presence.judges.watch({ signal: late })) if (judges) return;
          throw new Error('the host may not judge after 10 s');
        },
        async close() {
          await state.presence.leave();
          await state.close();
        },
      };
      clients.add(client);
      return client;
    },
    async spoil(network, value) {
      await admin.commit([], [{ kind: 'put', key: keys.network(network), value }]);
    },
    async spread() {},
    async close() {
      for (const client of clients) await client.close();
      await admin.close();
      await stores.close();
    },
  };
}

function stateIn({ name, start }: StoreKind): StateKind {
  return { name, start: async () => startState(await start()) };
}

for (const kind of storeKinds.map(stateIn)) {
  registryContract(kind);
  catalogContract(kind);
  claimsContract(kind);
  allocatorContract(kind);
}
