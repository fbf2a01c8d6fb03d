import * as v from 'valibot';
import { parseRecord } from '../../../model/record.ts';
import { Text } from '../../../model/text.ts';
import type { Journal, JournalChange, JournalKind } from '../../journal.ts';
import type { StoredSheet } from '../environment.ts';
import { nameOf } from '../head.ts';
import { parseRoomRecord, type RoomRecord } from '../room/record.ts';
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
  /** Where others were when this host came to its cluster: by then it knows nobody's address. */
  readonly seeds: readonly string[];
  /** What it kept while it waited. */
  readonly room: RoomRecord | undefined;
  /** Nothing was said in this cluster yet. */
  readonly fresh: boolean;
}

/** Of as many hosts as may wait together. */
const mostSeeds = 1024;
const TargetList = v.pipe(v.array(Text), v.maxLength(mostTargets));
const SeedList = v.pipe(v.array(Text), v.maxLength(mostSeeds));

/** @throws ParseError, JournalError */
export async function loadKept(journal: Pick<Journal, 'load'>, verify: Verify): Promise<Kept> {
  const entries = new Map((await journal.load('cluster')).map(({ id, value }) => [id, value]));
  const place = (what: string) => `${what} in the state directory`;
  const genesis = entries.get('genesis');
  const token = entries.get('token');
  const room = entries.get('room');
  return {
    genesis: genesis === undefined ? undefined : parseGenesis(genesis, place('the genesis'), verify),
    token: typeof token === 'string' ? parseJoinToken(token) : undefined,
    targets: parseRecord(TargetList, entries.get('targets') ?? [], place('targets')),
    seeds: parseRecord(SeedList, entries.get('seeds') ?? [], place('addresses of other hosts')),
    room: room === undefined ? undefined : parseRoomRecord(room),
    fresh: entries.has('fresh'),
  };
}

export async function keepToken(journal: Pick<Journal, 'commit'>, token: Token): Promise<void> {
  await journal.commit([tokenChange(token)]);
}

export async function keepTargets(journal: Pick<Journal, 'commit'>, targets: readonly string[]): Promise<void> {
  await journal.commit([{ kind: 'cluster', id: 'targets', put: targets }]);
}

export async function keepRoom(journal: Pick<Journal, 'commit'>, room: RoomRecord): Promise<void> {
  await journal.commit([{ kind: 'cluster', id: 'room', put: room }]);
}

/** This host is about to say something in its cluster. */
export async function keepBegun(journal: Pick<Journal, 'commit'>): Promise<void> {
  await journal.commit([{ kind: 'cluster', id: 'fresh', remove: true }]);
}

function tokenChange(token: Token): JournalChange {
  return { kind: 'cluster', id: 'token', put: token.reveal() };
}

/** A cluster that this host comes to. */
interface Entered extends Pick<Kept, 'token' | 'targets'> {
  readonly genesis: Genesis;
  readonly sheets: readonly StoredSheet[];
  readonly seeds?: readonly string[];
}

/** What is of the cluster that this host was in; records made by hand go along. */
const ofCluster: readonly JournalKind[] = ['cluster', 'sheet', 'network', 'endpoint'];

/**
 * Makes this host one of another cluster, in one commit: before it everything was of the former one, after it nothing is.
 * The daemon's parts are to be opened anew.
 */
export async function enter(
  journal: Pick<Journal, 'load' | 'commit'>,
  { genesis, sheets, token, targets, seeds = [] }: Entered,
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
    { kind: 'cluster', id: 'seeds', put: seeds.slice(0, mostSeeds) },
    { kind: 'cluster', id: 'fresh', put: true },
    ...(token ? [tokenChange(token)] : []),
    ...sheets.flatMap(({ head, entries }): JournalChange[] => [
      { kind: 'sheet', id: nameOf(head), put: head },
      ...entries.map(([key, value]): JournalChange => ({ kind: 'sheet', id: `${nameOf(head)} ${key}`, put: value })),
    ]),
  ]);
}
