import type { Command } from 'commander';
import { addAdd } from './add.ts';
import { addLookup } from './lookup.ts';
import { addLs } from './ls.ts';
import { addRemove } from './remove.ts';

export function addDns(program: Command): void {
  const dns = program.command('dns').description('Names of containers, and those given by hand');
  for (const add of [addAdd, addLookup, addLs, addRemove]) add(dns);
}
