import type { Json, Sheet } from './sheets.ts';

/**
 * What the mesh itself reads in the sheet of a host: the addresses at which it takes links, the networks whose sheets it
 * holds, and who has links with it. Other keys are of the parts above.
 */
export const hostKeys = { addresses: 'addresses', networks: 'networks', neighbours: 'neighbours' } as const;

const most = { addresses: 16, networks: 4096, neighbours: 64 } as const;

/** What is not as it should be counts as nothing: its owner alone has the harm. */
export function listIn(sheet: Sheet | undefined, key: keyof typeof hostKeys): readonly string[] {
  const value = sheet?.entries.get(hostKeys[key]);
  return isList(value) ? value.filter((item) => typeof item === 'string').slice(0, most[key]) : [];
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}
