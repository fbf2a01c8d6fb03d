import * as v from 'valibot';
import { hostIdOf } from '../../../model/host-key.ts';
import { parseRecord } from '../../../model/record.ts';
import { contentAfter, nothing } from '../content.ts';
import type { Seal } from '../environment.ts';
import { type Head, statement } from '../head.ts';
import type { Json } from '../sheets.ts';
import type { Signer, Verify } from '../signing.ts';
import { admission, rotation } from '../trust/changes.ts';
import { parseEvidence } from '../trust/evidence.ts';
import { type Genesis, parseGenesis } from '../trust/genesis.ts';
import { judgeOf, type Trust } from '../trust/trust.ts';

const mostSheets = 512;

/** A cluster as it is shown to a host that it lets in: its genesis, and the trust sheets that say who belongs to it, signed. */
export const Charter = v.object({
  genesis: v.unknown(),
  sheets: v.pipe(v.array(v.unknown()), v.maxLength(mostSheets)),
});

export interface Shown {
  readonly genesis?: unknown;
  readonly sheets: readonly unknown[];
}

/** One that was read. */
export interface Cluster extends Shown {
  readonly genesis: Genesis;
}

export interface ToAdmit {
  readonly key: string;
  readonly name: string;
}

interface FirstSheet {
  readonly hosts: Iterable<ToAdmit>;
  /** Of the token that goes on to work. */
  readonly token: Signer;
  /** Of the founder. */
  readonly seal: Seal;
  /** Grows with each one of the same cluster. What the founder says as a member is of later epochs. */
  readonly n: number;
}

/** The cluster with the first trust sheet of its founder, which lets these hosts in and publishes the token. */
export function charterOf(genesis: Genesis, { hosts, token, seal, n }: FirstSheet): Cluster {
  const trust = judging(genesis, seal)([]);
  const owner = hostIdOf(seal.key);
  const put = new Map<string, Json>();
  const say = (change: ReadonlyMap<string, object>) => {
    for (const [key, said] of change) put.set(key, JSON.parse(JSON.stringify(said)));
  };
  for (const host of hosts) if (host.key !== seal.key) say(admission(host));
  say(rotation(trust, token));
  const content = contentAfter(nothing, { put: [...put], gone: [] }, seal);
  if (content === undefined) throw new Error('the first trust sheet of a cluster is too long');
  const said = { owner, scope: 'trust', version: [1, n], digest: content.digest } as const;
  const head: Head = { ...said, signature: seal.sign(statement(trust.cluster, said)) };
  return { genesis, sheets: [{ head, entries: [...put] }] };
}

/** @throws ParseError when it is not signed as it must be */
export function parseCharter(
  json: unknown,
  seal: Pick<Seal, 'hash' | 'verify'>,
): { readonly cluster: Cluster; readonly trust: Trust; readonly n: number } {
  const { genesis: said, sheets } = parseRecord(Charter, json, 'the charter');
  const genesis = parseGenesis(said, 'the genesis', verifying(seal));
  const proven = parseEvidence(sheets, { genesis, seal });
  const trust = judging(
    genesis,
    seal,
  )(proven.map(({ head, entries }) => ({ owner: head.owner, entries: new Map(entries) })));
  const founder = hostIdOf(genesis.founder);
  const first = proven.find(({ head }) => head.owner === founder);
  return { cluster: { genesis, sheets }, trust, n: first?.head.version[1] ?? 0 };
}

function judging(genesis: Genesis, seal: Pick<Seal, 'verify'>): ReturnType<typeof judgeOf> {
  return judgeOf(genesis, verifying(seal));
}

function verifying(seal: Pick<Seal, 'verify'>): Verify {
  return (key, text, signature) => seal.verify(key, text, signature);
}
