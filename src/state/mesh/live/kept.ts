import * as v from 'valibot';
import { parseRecord } from '../../../model/record.ts';
import { Text } from '../../../model/text.ts';
import type { Journal, JournalChange, JournalKind } from '../../journal.ts';
import type { StoredSheet } from '../environment.ts';
import { nameOf } from '../head.ts';
import type { Verify } from '../signing.ts';
import { type Genesis, parseGenesis } from '../trust/genesis.ts';
import { parseJoinToken, type Token } from '../trust/token.ts';
import { mostTargets } from './targets.ts';

/** What a host of a mesh keeps of its cluster, besides sheets. */
export interface Kept {
  /** Undefined as long as it waits for one. */
  readonly genesis: Genesis | undefined;
  /** The last one that this host was given or made. */
  readonly token: Token | undefined;
  /** Given by hand. */
  readonly targets: readonly string[];
}

const TargetList = v.pipe(v.array(Text), v.maxLength(mostTargets));

/** @throws ParseError, JournalError */
export async function loadKept(journal: Pick<Journal, 'load'>, verify: Verify): Promise<Kept> {
  const entries = new Map((await journal.load('cluster')).map(({ id, value }) => [id, value]));
  const place = (what: string) => `${what} in the state directory`;
  const genesis = entries.get('genesis');
  const token = entries.get('token');
  return {
    genesis: genesis === undefined ? undefined : parseGenesis(genesis, place('the genesis'), verify),
    token: typeof token === 'string' ? parseJoinToken(token) : undefined,
    targets: parseRecord(TargetList, entries.get('targets') ?? [], place('targets')),
  };
}

export async function keepToken(journal: Pick<Journal, 'commit'>, token: Token): Promise<void> {
  await journal.commit([tokenChange(token)]);
}

export async function keepTargets(journal: Pick<Journal, 'commit'>, targets: readonly string[]): Promise<void> {
  await journal.commit([{ kind: 'cluster', id: 'targets', put: targets }]);
}

function tokenChange(token: Token): JournalChange {
  return { kind: 'cluster', id: 'token', put: token.reveal() };
}

/** What is of the cluster that this host was in; records made by hand go along. */
const ofCluster: readonly JournalKind[] = ['cluster', 'sheet', 'network', 'endpoint'];

/**
 * Makes this host one of another cluster, in one commit: before it everything was of the former one, after it nothing is.
 * The daemon's parts are to be opened anew.
 */
export async function enter(
  journal: Pick<Journal, 'load' | 'commit'>,
  { genesis, sheets, token, targets }: Kept & { readonly sheets: readonly StoredSheet[]; readonly genesis: Genesis },
): Promise<void> {
  const former = await Promise.all(
    ofCluster.map(async (kind) =>
      (await journal.load(kind)).map(({ id }): JournalChange => ({ kind, id, remove: true })),
    ),
  );
  await journal.commit([
    ...former.flat(),
    { kind: 'cluster', id: 'genesis', put: genesis },
    { kind: 'cluster', id: 'targets', put: targets },
    ...(token ? [tokenChange(token)] : []),
    ...sheets.flatMap(({ head, entries }): JournalChange[] => [
      { kind: 'sheet', id: nameOf(head), put: head },
      ...entries.map(([key, value]): JournalChange => ({ kind: 'sheet', id: `${nameOf(head)} ${key}`, put: value })),
    ]),
  ]);
}
