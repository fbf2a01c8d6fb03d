import type { JournalChange } from '../../src/state/journal.ts';
import type { Answer, Request } from '../../src/state/kv/local/protocol.ts';
import { Tables as Real } from '../../src/state/kv/local/tables.ts';
import { counted } from './doom.ts';

/** Stands for `state/kv/local/tables.ts` in a daemon that is to die. */
export class Tables extends Real {
  constructor(path: string) {
    counted('journal', `before ${path} is opened`, () => undefined);
    super(path);
    counted('journal', `when ${path} is open`, () => undefined);
  }

  override run(requests: readonly Request[]): Answer[] {
    const changes = requests.flatMap(changesIn);
    return changes.length === 0
      ? super.run(requests)
      : counted('journal', `commit ${changes.join(' ')}`, () => super.run(requests));
  }
}

function changesIn(request: Request): readonly string[] {
  if (request.kind !== 'journal') return request.kind === 'commit' ? ['keys'] : [];
  return request.changes.filter((change) => !isHeard(change)).map(({ kind, id }) => `${kind}/${id}`);
}

/** What was last heard of the store comes with its news, by itself, and alone or together with what else is to be written. */
function isHeard({ kind, id }: JournalChange): boolean {
  return kind === 'endpoint' || id.startsWith('seen/');
}
