import { sheetsContract } from '../../src/state/mesh/sheets.contract.ts';
import type { Sheets } from '../../src/state/mesh/sheets.ts';
import { realSeal } from './seals.ts';
import { type SimulatedHost, World } from './world.ts';

sheetsContract('a simulated mesh', (ids) => {
  const world = new World({ seed: 5, json: true, seal: realSeal, ids });
  for (const [at] of ids.entries()) world.add(at === 0 ? undefined : world.founder);
  for (const host of world.hosts) host.start();
  world.run(6_000);
  return {
    sheets: (id) => inTime(world, world.host(id)),
    members: (id) => {
      const { mesh } = world.host(id);
      if (mesh === undefined) throw new Error(`${id} does not run`);
      return mesh.members;
    },
    settle: () => world.run(6_000),
    kill: (id) => {
      world.host(id).crash();
      world.run(20_000);
    },
    rollBack: async (id, act) => {
      const host = world.host(id);
      const goBack = host.disk.save();
      await act();
      host.crash();
      goBack();
      host.start();
      world.run(6_000);
    },
  };
});

/** The host's sheets; time passes when something is changed. */
function inTime(world: World, host: SimulatedHost): Sheets {
  return {
    ...host.sheets,
    change: (scope, edit) => {
      const changed = host.sheets.change(scope, edit);
      world.run(50);
      return changed;
    },
  };
}
