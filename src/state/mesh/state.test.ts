import { allocatorContract } from '../allocator.contract.ts';
import { catalogContract } from '../catalog.contract.ts';
import { claimsContract } from '../claims.contract.ts';
import { hexId, hostIdOf, type StateClient, type StateHarness, type StateKind } from '../records.contract.ts';
import { registryContract } from '../registry.contract.ts';
import type { Json } from './sheets.ts';
import { World } from './world.testing.ts';

/** Hosts of a mesh whose time runs by itself. */
function startWorld(): StateHarness {
  const world = new World(1, [1, 5]);
  world.networks = ['net', 'watched', 'other', 'published', 'lost', 'wrong']
    .map(hexId)
    .concat(Array.from({ length: 64 }, (_, i) => hexId(`network ${i}`)));
  world.maker = () => hostIdOf('one');
  let over = false;
  const running = (async () => {
    while (!over) await world.run(1);
  })();
  return {
    async join(name) {
      const id = hostIdOf(name);
      const known = world.hosts.get(id);
      const host = known ?? (await world.add(id));
      host.judges = false;
      if (known) await known.restart();
      const tell = () => {
        for (const one of world.hosts.values()) one.tellMembers();
      };
      for (const other of world.hosts.keys()) {
        if (other !== id) world.fabric.deliver(other, id);
        if (other !== id) world.fabric.deliver(id, other);
      }
      tell();
      const client: StateClient = {
        host: id,
        ...host.state,
        skipped: () => host.state.skipped(),
        async settled() {
          host.judges = true;
          host.tellMembers();
        },
        async close() {
          // Who leaves has told everyone what it said.
          await world.pause(20);
          if (host.up) host.crash();
          tell();
        },
      };
      return client;
    },
    async spoil(network, text) {
      const writer = world.hosts.get(hostIdOf('writer')) ?? (await world.add(hostIdOf('writer')));
      let value: Json = text.slice(0, 60_000);
      try {
        value = JSON.parse(value);
      } catch {
        // A text, then.
      }
      const versions = [...world.fabric.host(hostIdOf('one')).sheets.list('catalog')].map((sheet) => {
        const entry = sheet.entries.get(`network/${network}`);
        return typeof entry === 'object' && entry !== null && 'version' in entry ? Number(entry['version']) : 0;
      });
      await world.fabric
        .host(writer.id)
        .sheets.change('catalog', (draft) =>
          draft.put(`network/${network}`, { version: Math.max(0, ...versions) + 1, value }),
        );
      world.spread(writer.id);
    },
    spread: () => world.pause(20),
    async close() {
      over = true;
      await running;
    },
  };
}

const kind: StateKind = { name: 'a mesh', start: async () => startWorld() };

registryContract(kind);
catalogContract(kind);
claimsContract(kind);
allocatorContract(kind);
