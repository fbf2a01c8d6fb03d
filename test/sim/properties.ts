import type { Held } from '../../src/state/mesh/content.ts';
import { statement } from '../../src/state/mesh/head.ts';
import type { Scope, Sheet } from '../../src/state/mesh/sheets.ts';
import type { SimulatedHost, World } from './world.ts';

const everywhere: readonly Scope[] = ['host', 'trust', 'catalog', 'ring'];

/**
 * What two hosts do not see the same way yet; nothing when the cluster has one view. Liars are not asked, nor who was
 * removed: nobody tells it anything.
 */
export function differences(world: World): string[] {
  const { hosts: members } = world.truth();
  const honest = world.running.filter(({ id }) => members.has(id) && !world.liars.has(id));
  const found: string[] = [];
  for (const scope of scopesOf(honest)) {
    const holders = honest.filter((host) => follows(host, scope));
    const views = holders.map((host) => viewOf(host, scope, members));
    const [first] = views;
    for (const [at, view] of views.entries())
      if (first !== undefined && view.text !== first.text)
        found.push(`${scope}: ${holders[at]?.name} and ${holders[0]?.name} differ in ${odd(world, view, first)}`);
    for (const host of honest) {
      const own = stateOf(host.sheets.read(host.id, scope));
      const seen = first?.states.get(host.id);
      if (seen !== undefined && seen !== own)
        found.push(`${scope} of ${host.name}: others have ${seen}, itself ${own}`);
    }
  }
  for (const host of honest) {
    const states = new Map(host.mesh?.members.list().map(({ id, state }) => [id, state]));
    for (const id of members.keys()) {
      if (world.liars.has(id)) continue;
      const [other, state] = [world.host(id), states.get(id)];
      states.delete(id);
      // Of who never said anything nobody knows.
      const isUnheard = state === undefined && !other.running;
      // Who is left alone does not judge at once.
      const gone = state === 'lost' || state === 'left' || (state === 'suspect' && honest.length <= 2);
      if (!(other.running ? state === 'alive' : gone || isUnheard))
        found.push(`${host.name} sees ${other.name} ${state}`);
    }
    for (const id of states.keys())
      if (!world.liars.has(id)) found.push(`${host.name} sees ${world.nameOf(id)}, which is not a member`);
  }
  return found;
}

interface View {
  readonly states: ReadonlyMap<string, string>;
  readonly text: string;
}

function viewOf(host: SimulatedHost, scope: Scope, members: ReadonlyMap<string, unknown>): View {
  const states = new Map<string, string>();
  for (const sheet of host.sheets.list(scope)) if (members.has(sheet.owner)) states.set(sheet.owner, stateOf(sheet));
  return { states, text: [...states.values()].join() };
}

function odd(world: World, one: View, other: View): string {
  const owners = [...new Set([...one.states.keys(), ...other.states.keys()])];
  const differ = owners.filter((owner) => one.states.get(owner) !== other.states.get(owner));
  return differ.map((id) => `${world.nameOf(id)} (${one.states.get(id)}, ${other.states.get(id)})`).join(', ');
}

function scopesOf(hosts: readonly SimulatedHost[]): readonly Scope[] {
  return [...everywhere, ...new Set(hosts.flatMap(networksOf).map((network): Scope => `network:${network}`))];
}

function networksOf(host: SimulatedHost): readonly string[] {
  const list = host.sheets.read(host.id, 'host')?.entries.get('networks');
  return Array.isArray(list) ? list.map(String) : [];
}

function follows(host: SimulatedHost, scope: Scope): boolean {
  return !scope.startsWith('network:') || networksOf(host).includes(scope.slice('network:'.length));
}

function stateOf(sheet: Sheet | undefined): string {
  return sheet === undefined
    ? 'nothing'
    : `${sheet.version.join('.')} ${isHeld(sheet) ? sheet.head.digest.slice(0, 12) : ''}`;
}

/** Whether every sheet that is held anywhere was signed by its owner, and is what it signed. */
export function unsigned(world: World): string[] {
  return world.running.flatMap((host) =>
    scopesOf([host]).flatMap((scope) =>
      host.sheets.list(scope).flatMap((sheet) => {
        if (!isHeld(sheet)) return [`${host.name} holds ${scope} of ${sheet.owner} without a head`];
        const text = statement(world.genesisId, sheet.head);
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
