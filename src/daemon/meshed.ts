import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { chooseUnderlay } from '../controllers/hosts/advertise.ts';
import { Refusal } from '../lib/errors.ts';
import { defaultDataPort } from '../model/cluster.ts';
import { hostIdOf } from '../model/host-key.ts';
import { readToken } from '../model/token-source.ts';
import { enter, type Kept, loadKept } from '../state/mesh/live/kept.ts';
import { openMember } from '../state/mesh/live/member.ts';
import { openMembership } from '../state/mesh/live/membership.ts';
import { type Self, selfOf } from '../state/mesh/live/self.ts';
import { openWaiting } from '../state/mesh/live/waiting.ts';
import type { Membership } from '../state/mesh/membership.ts';
import { verify } from '../state/mesh/signing.ts';
import { clusterIdOf, found, type Genesis } from '../state/mesh/trust/genesis.ts';
import { Token } from '../state/mesh/trust/token.ts';
import type { Shared, SharedInit } from './shared.ts';

export interface Meshed extends Shared {
  readonly membership: Membership;
}

/** Has a token and no cluster. */
export interface Waiting {
  readonly waiting: { readonly id: string; readonly name: string };
  readonly membership: Membership;
  /** May be called twice. */
  close(): Promise<void>;
}

type MeshInit = SharedInit & {
  /** Opens everything anew: this host belongs to another cluster now. */
  readonly restart: () => void;
};

/**
 * Shared state in the hosts themselves. A host that has no cluster founds one of its own, unless it has a token: then it
 * waits for others. @throws Refusal, ParseError
 */
export async function openMeshed(init: MeshInit): Promise<Meshed | Waiting> {
  const { settings, journal, log, restart } = init;
  const stored = await loadKept(journal, verify);
  const self = thisHost(init, stored);
  const token = tokenOf(init, stored);
  const targets = [...new Set([...stored.targets, ...settings.peer])];
  if (stored.genesis === undefined && token !== undefined) {
    const kept = { ...stored, targets };
    const waiting = await openWaiting({ self, token, kept, facts: factsOf(init), journal, restart, log });
    return { waiting: { id: self.id, name: self.name }, ...waiting };
  }
  const founded = await foundIfAlone(init, self, stored);
  const kept = { ...founded, token: token ?? founded.token, targets };
  const member = await openMember({ self, kept, discovery: settings.discovery, journal, log });
  const { cluster, registry, catalog, allocator, claims } = member;
  const membership = openMembership({ self, member, kept, journal, restart, log });
  return {
    ...{ cluster, registry, catalog, allocator, claims, membership },
    status: () => ({ url: 'mesh:', members: [], outages: 0 }),
    skipped: () => member.state.skipped(),
    servers: [],
    close: () => member.close(),
  };
}

/** The one that was given, if it can be of use. @throws Refusal, ParseError */
function tokenOf({ settings }: MeshInit, { genesis, token }: Kept): Token | undefined {
  // It was given to come to the cluster to which this host belongs by now.
  if (genesis !== undefined || settings.token === undefined) return token;
  return Token.of(readToken(settings.token));
}

function factsOf({ settings, view }: MeshInit) {
  const wishes = { advertise: settings.clusterAdvertise, data: settings.dataAddress };
  return {
    created: new Date().toISOString(),
    dataPort: settings.dataPort ?? defaultDataPort,
    underlay: chooseUnderlay(view, wishes).family,
  };
}

/** @throws Refusal */
function thisHost({ settings, identity, view }: MeshInit, { genesis }: Kept): Self {
  if (hostIdOf(identity.publicKey) !== identity.id) {
    throw new Refusal(
      'conflict',
      'the id of this host does not follow from its key, as it has to without a store: make it a new one with skein reset',
    );
  }
  const wishes = { advertise: settings.clusterAdvertise, data: settings.dataAddress, family: genesis?.underlay };
  return selfOf({
    ...{ id: identity.id, privateKey: identity.privateKey, name: settings.hostName ?? hostname() },
    // Higher than in a life that a disk that was rolled back does not know of.
    epoch: Math.max(identity.epoch, Math.floor(Date.now() / 1000)),
    address: addressIn(chooseUnderlay(view, wishes).advertise),
    port: settings.meshPort,
  });
}

async function foundIfAlone(init: MeshInit, self: Self, kept: Kept): Promise<Kept & { readonly genesis: Genesis }> {
  const { genesis } = kept;
  if (genesis !== undefined) return { ...kept, genesis };
  const { journal } = init;
  if ((await journal.load('cluster')).some(({ id }) => id === 'cluster')) {
    throw new Refusal(
      'conflict',
      'this host belongs to a cluster whose state is in a store: say --cluster-store as before, or take it off that cluster with skein reset',
    );
  }
  const made = found({ ...factsOf(init), nonce: randomBytes(16).toString('hex') }, self.signer);
  const token = new Token(randomBytes(16), clusterIdOf(made));
  await enter(journal, { genesis: made, token, targets: kept.targets, sheets: [] });
  return { ...kept, genesis: made, token, fresh: true };
}

/** Of `address:port`. */
function addressIn(advertise: string): string {
  return advertise.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}
