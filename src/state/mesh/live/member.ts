import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { Log } from '../../../lib/log.ts';
import { Scope } from '../../../lib/scope.ts';
import { type Cluster, featureLevel } from '../../../model/cluster.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import type { Allocator } from '../../allocator.ts';
import type { Catalog } from '../../catalog.ts';
import type { Claims } from '../../claims.ts';
import type { Journal } from '../../journal.ts';
import type { Registry } from '../../registry.ts';
import type { Environment, Trust } from '../environment.ts';
import { listIn } from '../host-sheet.ts';
import { Mesh } from '../mesh.ts';
import { type MeshState, openMeshState } from '../open.ts';
import type { Standing } from '../removal.ts';
import { sealOf, verify } from '../signing.ts';
import { dropClaims, serveAsAdmin } from '../trust/admissions.ts';
import { type Change, rotation } from '../trust/changes.ts';
import type { Genesis } from '../trust/genesis.ts';
import { reasons } from '../trust/refused.ts';
import { TrustView } from '../trust/view.ts';
import { clock } from './clock.ts';
import { JournalDisk, loadSheets } from './disk.ts';
import { type Doors, openDoors } from './doors.ts';
import { Following } from './following.ts';
import { type Kept, keepBegun } from './kept.ts';
import type { Self } from './self.ts';
import { formerKey, standingOf } from './standing.ts';
import { formatTarget } from './targets.ts';
import { tending } from './tending.ts';

export interface OpenMember {
  readonly self: Self;
  readonly kept: Kept & { readonly genesis: Genesis };
  /** Whether to have links with hosts that others name. */
  readonly discovery: boolean;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  readonly log: Log;
}

/** This host in its cluster. */
export interface Member {
  readonly cluster: Cluster;
  readonly registry: Registry;
  readonly catalog: Catalog;
  readonly allocator: Allocator;
  readonly claims: Claims;
  readonly mesh: Mesh;
  readonly view: TrustView;
  readonly state: MeshState;
  readonly standing: Standing;
  /** What keeps this host from leaving its cluster for another, as the end of a sentence; undefined: nothing. */
  held(): string | undefined;
  /** Puts statements into this host's own trust sheet: they count if it is an admin. */
  say(change: Change): Promise<void>;
  /** Takes back all records and names of this host, and says that it is gone. Resolves when neighbours have had time to hear it. */
  withdraw(): Promise<void>;
  /** May be called twice. */
  close(): Promise<void>;
}

/** Resolves when this host takes links and can be asked. @throws Refusal when nobody can listen at its port */
export async function openMember(options: OpenMember): Promise<Member> {
  const { self, kept, discovery, journal, log } = options;
  const { genesis, token, fresh } = kept;
  const targets = [...new Set([...kept.targets, ...kept.seeds])];
  const scope = new Scope();
  const seal = sealOf(self.signer);
  const stored = await loadSheets(journal);
  const parts: { mesh?: Mesh; state?: MeshState } = {};
  /** Opened last: whoever comes finds everything behind them. */
  let doors: Doors | undefined;
  const view = new TrustView(genesis, verify, () => parts.mesh?.sheets.list('trust') ?? []);
  try {
    const standing = standingOf(view);
    const trust: Trust = {
      cluster: view.cluster,
      // What a removed host had said of numbers and names is needed by who takes over.
      keyFor: (owner, about) =>
        view.keyFor(owner, about) ?? (isOfUse(owner, about) ? formerKey(owner, mesh.sheets) : undefined),
    };
    const isOfUse = (owner: string, about: string) =>
      (about === 'ring' || about === 'catalog') && view.now().removed.has(owner) && parts.state?.spent(owner) !== true;
    const environment: Environment = {
      ...{ clock, random: Math.random, seal, trust, log },
      disk: new JournalDisk(journal, stored),
      links: { dial: (...all) => doors?.links.dial(...all) },
      datagrams: { send: (...all) => doors?.datagrams.send(...all) },
    };
    const mesh = new Mesh(environment, {
      ...{ self: self.id, epoch: self.epoch, addresses: [formatTarget(self.address, self.port)] },
      ...{ targets, discovery, stored, fresh },
      answer: async (from, question) => (await parts.state?.answer(from, question)) ?? null,
    });
    parts.mesh = mesh;
    scope.defer(() => mesh.close());
    const { sheets, members, questions } = mesh;
    const state = openMeshState({
      ...{ sheets, members, questions, standing },
      founder: () => hostIdOf(genesis.founder),
      underlay: genesis.underlay,
      inUse: () => networksOf(mesh),
      fresh,
      mayOpen: () => isFounded(mesh, genesis),
      now: () => Date.now(),
      nonce: () => randomBytes(16).toString('hex'),
      pause: async (ms) => await wait(ms),
    });
    parts.state = state;
    scope.defer(() => state.close());

    const say = async (change: Change) => {
      await sheets.change('trust', (draft) => {
        for (const [key, said] of change) draft.put(key, JSON.parse(JSON.stringify(said)));
      });
    };
    const failed = (error: unknown) => log.warn('what follows from what others said could not be said', { error });
    scope.defer(serveAsAdmin({ sheets, view, verify, clock }, failed));
    const tend = async () => {
      await state.tend();
      // What a removed host had said is needed by nobody once its heir says it.
      const isHeld = (host: string) =>
        sheets.read(host, 'ring') !== undefined || sheets.read(host, 'catalog') !== undefined;
      if (!view.now().removed.keys().some(isHeld)) return;
      mesh.trustChanged();
      clock.after(forgetting, () => mesh.trustChanged());
    };
    scope.defer(tending({ tend }, (act) => sheets.watch(({ scope: about }) => about !== 'host' && act()), failed));
    scope.defer(
      sheets.watch(({ scope: about }) => {
        if (about !== 'trust') return;
        const { hosts, removed } = view.now();
        doors?.links.end((id) =>
          removed.has(id) ? `it ${reasons.removed}` : hosts.has(id) ? undefined : `it ${reasons.unknown}`,
        );
      }),
    );
    doors = await openDoors({ self, genesis, view, mesh, isEmpty: () => holds(mesh, view) === undefined, log });
    scope.defer(doors.close);

    if (fresh) await keepBegun(journal);
    mesh.start();
    if (token !== undefined && view.now().token === undefined && isAdmin(view, self.id))
      await say(rotation(view.now(), token.signer()));
    await dropClaims(sheets);
    const following = new Following({ sheets, members, clock });
    return {
      cluster: {
        ...{ id: view.cluster, generation: 1, featureLevel, created: genesis.created },
        ...{ dataPort: genesis.dataPort, underlay: genesis.underlay },
      },
      ...{ mesh, view, state, standing, say },
      registry: following.registry(state.registry),
      catalog: state.catalog,
      allocator: following.allocator(state.allocator),
      claims: following.claims(state.claims),
      held: () => holds(mesh, view),
      withdraw: () => withdraw(mesh),
      close: () => scope.close(),
    };
  } catch (error) {
    await scope.close();
    throw error;
  }
}

/** Networks on which this host has endpoints. */
function networksOf({ sheets }: Mesh): ReadonlySet<string> {
  const followed = listIn(sheets.read(sheets.self, 'host'), 'networks');
  return new Set(
    followed.filter((network) => {
      const said = sheets.read(sheets.self, `network:${network}`)?.entries.keys() ?? [];
      return [...said].some((key) => key.startsWith('endpoint/'));
    }),
  );
}

function holds(mesh: Mesh, view: TrustView): string | undefined {
  const others = view.now().hosts.size - 1;
  if (others > 0) return `there ${others === 1 ? 'is another host' : `are ${others} other hosts`} in it`;
  const networks = networksOf(mesh).size;
  return networks === 0 ? undefined : `it has containers on ${networks === 1 ? 'a network' : `${networks} networks`}`;
}

/** Until what an heir carries on has come to all, in milliseconds: longer than `MeshState.spent` waits. */
const forgetting = 2_500;

/** In milliseconds. */
const farewell = 300;

/** What it wrote in the catalog is the cluster's, and stays. */
async function withdraw(mesh: Mesh): Promise<void> {
  const { sheets } = mesh;
  const networks = listIn(sheets.read(sheets.self, 'host'), 'networks');
  for (const network of networks) {
    await sheets.change(`network:${network}`, (draft) => {
      for (const [key] of [...draft.entries()]) draft.delete(key);
    });
  }
  await sheets.change('host', (draft) => {
    for (const [key] of [...draft.entries()]) if (/^(host|record)\//.test(key)) draft.delete(key);
  });
  mesh.leave();
  await wait(farewell);
}

/** Most of those who waited together have come: none of them founds another cluster any more. */
function isFounded({ sheets }: Mesh, { founder, view = [] }: Genesis): boolean {
  const here = view.filter((host) => host === hostIdOf(founder) || sheets.read(host, 'host') !== undefined);
  return here.length * 2 > view.length || view.length <= 1;
}

function isAdmin(view: TrustView, host: string): boolean {
  return view.now().hosts.get(host)?.role === 'admin';
}
