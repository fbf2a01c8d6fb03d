import { backoff } from '../../lib/backoff.ts';
import { Refusal } from '../../lib/errors.ts';
import { type Store, StoreError } from './store.ts';

/** How long one operation may take over all its repetitions, in milliseconds. */
const longest = 4_000;
/** The same, when the store has been away for longer than that already: what is undone then asks it many times. */
const short = 500;

/**
 * Does one thing to the store, repeating it while the store may yet answer. `task` must be right when repeated: what it
 * did the last time may have happened, or may happen still.
 * @throws Refusal 'unavailable' within 5 s, naming the store and since when it fails; and what `task` throws besides StoreError
 */
export async function persist<T>(
  store: Store,
  what: string,
  task: (signal: AbortSignal) => Promise<T>,
  patience = patienceWith(store),
): Promise<T> {
  const signal = AbortSignal.timeout(patience);
  let failure: unknown;
  for await (const _ of backoff({ first: 40, most: 500, signal })) {
    try {
      return await task(signal);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      failure ??= error;
      if (!signal.aborted) failure = error;
      if (!error.retry) break;
    }
  }
  const { url, failingSince } = store.status();
  const since = failingSince === undefined ? '' : `, failing since ${failingSince}`;
  const reason = failure instanceof Error ? failure.message : 'no answer in time';
  throw new Refusal('unavailable', `cannot ${what}: ${reason} (store ${url}${since})`, { cause: failure });
}

function patienceWith(store: Store): number {
  const { failingSince } = store.status();
  return failingSince !== undefined && Date.now() - Date.parse(failingSince) > longest ? short : longest;
}
