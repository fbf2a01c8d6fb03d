import type { Held } from '../../src/state/mesh/content.ts';
import { statement } from '../../src/state/mesh/head.ts';
import type { Scope, Sheet } from '../../src/state/mesh/sheets.ts';
import { cluster, type SimulatedHost, type World } from './world.ts';

export const networks = ['1', '2'];
const scopes: Scope[] = ['host', 'trust', 'catalog', 'ring', 'network:1', 'network:2'];

/** What two hosts do not see the same way yet; nothing when the cluster has one view. Liars are not asked. */
export function differences(world: World): string[] {
  const honest = world.running.filter(({ id }) => !world.liars.has(id));
  const found: string[] = [];
  for (const scope of scopes) {
    const holders = honest.filter((host) => follows(host, scope));
    for (const { id: owner, name } of world.hosts) {
      const states = holders.map((host) => `${stateOf(host.sheets.read(owner, scope))}`);
      const [first] = states;
      const odd = holders.filter((_, at) => states[at] !== first);
      const own = honest.find(({ id }) => id === owner);
      if (odd.length > 0)
        found.push(`${scope} of ${name}: ${holders.map((host, at) => `${host.name} has ${states[at]}`).join(', ')}`);
      else if (own !== undefined && first !== undefined && stateOf(own.sheets.read(owner, scope)) !== first)
        found.push(`${scope} of ${name}: others have ${first}, itself ${stateOf(own.sheets.read(owner, scope))}`);
    }
  }
  for (const host of honest) {
    for (const { id, state } of host.mesh?.members.list() ?? []) {
      const other = world.host(id);
      if (world.liars.has(id)) continue;
      // Who is left alone does not judge at once.
      const gone = state === 'lost' || state === 'left' || (state === 'suspect' && world.running.length === 1);
      const right = other.running ? state === 'alive' : gone;
      if (!right) found.push(`${host.name} sees ${other.name} ${state}`);
    }
    const seen = new Set(host.mesh?.members.list().map(({ id }) => id));
    for (const other of honest) if (!seen.has(other.id)) found.push(`${host.name} does not know ${other.name}`);
  }
  return found;
}

function follows(host: SimulatedHost, scope: Scope): boolean {
  if (!scope.startsWith('network:')) return true;
  const list = host.sheets.read(host.id, 'host')?.entries.get('networks');
  return Array.isArray(list) && list.includes(scope.slice('network:'.length));
}

function stateOf(sheet: Sheet | undefined): string {
  return sheet === undefined ? 'nothing' : `${sheet.version.join('.')} (${[...sheet.entries.keys()].sort().join()})`;
}

/** Whether every sheet that is held anywhere was signed by its owner, and is what it signed. */
export function unsigned(world: World): string[] {
  return world.running.flatMap((host) =>
    scopes.flatMap((scope) =>
      host.sheets.list(scope).flatMap((sheet) => {
        if (!isHeld(sheet)) return [`${host.name} holds ${scope} of ${sheet.owner} without a head`];
        const text = statement(cluster, sheet.head);
        if (world.signed.get(sheet.owner)?.has(text) !== true)
          return [`${host.name} holds ${scope} of ${world.nameOf(sheet.owner)}, which did not sign it`];
        const forged = [...sheet.entries].filter(([key, value]) => key === 'forged' || value === 'forged');
        return forged.map(([key]) => `${host.name} holds a forged ${key} in ${scope} of ${world.nameOf(sheet.owner)}`);
      }),
    ),
  );
}

function isHeld(sheet: Sheet): sheet is Held {
  return 'head' in sheet;
}
