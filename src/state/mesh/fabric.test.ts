import { Fabric } from './fabric.testing.ts';
import { sheetsContract } from './sheets.contract.ts';

sheetsContract('a fabric copied by hand', (ids) => {
  const fabric = new Fabric();
  for (const id of ids) fabric.host(id);
  return {
    sheets: (id) => fabric.host(id).sheets,
    members: (id) => fabric.host(id).members,
    settle: () => fabric.settle(),
    kill: (id) => fabric.judge(id, 'lost'),
    rollBack: async (id, act) => {
      const disk = fabric.host(id).held();
      await act();
      fabric.host(id).restart(disk);
    },
  };
});
