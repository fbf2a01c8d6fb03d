import type { Command } from 'commander';
import { addConnect } from './connect.ts';
import { addCreate } from './create.ts';
import { addDisconnect } from './disconnect.ts';
import { addInspect } from './inspect.ts';
import { addLs } from './ls.ts';
import { addPrune } from './prune.ts';
import { addRm } from './rm.ts';

export function addNetwork(program: Command): void {
  const network = program.command('network').description('Networks of the cluster');
  for (const add of [addConnect, addCreate, addDisconnect, addInspect, addLs, addPrune, addRm]) add(network);
}
