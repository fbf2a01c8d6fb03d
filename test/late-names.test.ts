import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { openNames } from '../src/controllers/names/open.ts';
import { KnownNetworks } from '../src/controllers/networks/known.ts';
import type { NameChange } from '../src/dns/dns.ts';
import { Server } from '../src/dns/server.ts';
import { toWireName } from '../src/dns/wire-name.ts';
import { silent } from '../src/lib/log.ts';
import { endpointRecord, networkRecord } from '../src/state/records.contract.ts';

function open(t: TestContext) {
  const server = new Server({ domains: [toWireName('skein.local') ?? ''], own: [], log: silent });
  t.after(() => server.close());
  const networks = new KnownNetworks();
  const sent: NameChange[] = [];
  const names = openNames(
    {
      server: {
        change: async (change) => {
          sent.push(change);
          await server.change(change);
        },
        lookup: (lookup) => server.lookup(lookup),
        status: async () => server.status(),
      },
      networks,
      staleSince: () => undefined,
      unheld: () => undefined,
      log: silent,
    },
    { domains: ['skein.local'] },
  );
  return { names, networks, sent };
}

test('a network whose name is heard of late is answered by it from then on', async (t) => {
  const { names, networks, sent } = open(t);
  const demo = networkRecord('demo');
  const web = { ...endpointRecord('h2', demo.id, 'web'), addresses: ['10.0.0.2/24'] };
  names.network(demo.id, ['10.0.0.0/24']);
  names.put(web, false);
  const addresses = async (name: string) => {
    const { records } = await names.lookup({ name, type: 'A' });
    return records.map(({ data }) => data);
  };
  assert.deepEqual([await addresses('web'), await addresses('web.demo.skein.local')], [['10.0.0.2'], []]);
  networks.put(demo);
  assert.deepEqual([await addresses('web'), await addresses('web.demo.skein.local')], [['10.0.0.2'], ['10.0.0.2']]);
  const changes = sent.length;
  networks.put(demo);
  networks.put(networkRecord('other'));
  await names.told();
  assert.equal(sent.length, changes, 'what is as before, or not here, is not told');
});
