import { HOST, idOf, isNetworkNamespace } from './objects.ts';
import type { Step } from './plan.ts';

/** Things named in one sentence; the rest is counted. */
const mostNamed = 4;

/** What was found wrong and put right, one sentence a namespace: what hangs on something is not named, only counted. Pure. */
export function sentencesOf(steps: readonly Step[]): readonly string[] {
  const byNamespace = Map.groupBy(steps, ({ object }) => object.namespace);
  return [...byNamespace].map(([namespace, found]) => `${placeOf(namespace)}: ${partsOf(found).join('; ')}; put right`);
}

const kinds = { add: 'missing', change: 'not as it should be', remove: 'there and should not be' } as const;

function partsOf(steps: readonly Step[]): readonly string[] {
  return Object.entries(kinds).flatMap(([kind, words]) => {
    const own = steps.filter((step) => step.do === kind);
    if (own.length === 0) return [];
    const ids = new Set(own.map(({ object }) => idOf(object)));
    const roots = own.filter(({ object: { parent } }) => parent === undefined || !ids.has(parent));
    const names = [...new Set(roots.map(({ object }) => object.key))];
    const named = names.slice(0, mostNamed).join(', ');
    const more = own.length - Math.min(names.length, mostNamed);
    return [`${named}${more > 0 ? ` and ${more} more` : ''} ${own.length === 1 ? 'was' : 'were'} ${words}`];
  });
}

function placeOf(namespace: string): string {
  if (namespace === HOST) return 'on the host';
  return `in the ${isNetworkNamespace(namespace) ? 'network' : 'sandbox'} ${namespace}`;
}
