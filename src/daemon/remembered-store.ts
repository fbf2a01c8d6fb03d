import type { Journal } from '../state/journal.ts';

/** The store that the daemon was last started with, so that `reset` finds it also when it was said on the command line. */
const entry = { kind: 'host', id: 'store' } as const;

/** Whether the cluster's state lives in its hosts, and not in a store. */
export function isMesh(store: string): boolean {
  return store === 'mesh:';
}

export async function rememberStore(journal: Pick<Journal, 'commit'>, url: string): Promise<void> {
  await journal.commit([{ ...entry, put: { url } }]);
}

export async function storeIn(journal: Pick<Journal, 'load'>): Promise<string | undefined> {
  const value = (await journal.load(entry.kind)).find(({ id }) => id === entry.id)?.value;
  return typeof value === 'object' && value !== null && 'url' in value && typeof value.url === 'string'
    ? value.url
    : undefined;
}
