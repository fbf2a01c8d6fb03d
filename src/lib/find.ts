import { Refusal } from './errors.ts';

/**
 * By full id, then by name, then by an unambiguous start of the id, as Docker looks things up.
 * @throws Refusal 'not-found' | 'invalid'
 */
export function findByNameOrId<T extends { readonly id: string; readonly name: string }>(
  what: string,
  nameOrId: string,
  things: readonly T[],
): T {
  const exact = things.find(({ id }) => id === nameOrId) ?? things.find(({ name }) => name === nameOrId);
  if (exact !== undefined) return exact;
  const starting = things.filter(({ id }) => nameOrId !== '' && id.startsWith(nameOrId));
  const [only] = starting;
  if (only === undefined) throw new Refusal('not-found', `${what} ${nameOrId} not found`);
  if (starting.length > 1) {
    throw new Refusal(
      'invalid',
      `${what} ${nameOrId} is ambiguous: ${starting.length} ids begin so; give more of it, or the name`,
    );
  }
  return only;
}
