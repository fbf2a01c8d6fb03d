import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { chooseUnderlay } from '../controllers/hosts/advertise.ts';
import { Refusal } from '../lib/errors.ts';
import { defaultDataPort } from '../model/cluster.ts';
import { hostIdOf } from '../model/host-key.ts';
import { enter, type Kept, loadKept } from '../state/mesh/live/kept.ts';
import { openMember } from '../state/mesh/live/member.ts';
import { openMembership } from '../state/mesh/live/membership.ts';
import { type Self, selfOf } from '../state/mesh/live/self.ts';
import type { Membership } from '../state/mesh/membership.ts';
import { verify } from '../state/mesh/signing.ts';
import { clusterIdOf, found } from '../state/mesh/trust/genesis.ts';
import { Token } from '../state/mesh/trust/token.ts';
import type { Shared, SharedInit } from './shared.ts';

export interface Meshed extends Shared {
  readonly membership: Membership;
}

type MeshInit = SharedInit & {
  /** Opens everything anew: this host belongs to another cluster now. */
  readonly restart: () => void;
};

/** Shared state in the hosts themselves. A host that has no cluster founds one of its own. @throws Refusal */
export async function openMeshed(init: MeshInit): Promise<Meshed> {
  const { settings, journal, log, restart } = init;
  const stored = await loadKept(journal, verify);
  const self = thisHost(init, stored);
  const kept = await foundIfAlone(init, self, stored);
  const { genesis, token } = kept;
  const targets = [...new Set([...kept.targets, ...settings.peer])];
  const member = await openMember({ self, genesis, token, targets, discovery: settings.discovery, journal, log });
  const { cluster, registry, catalog, allocator, claims } = member;
  const membership = openMembership({ self, member, kept: { ...kept, targets }, journal, restart, log });
  return {
    ...{ cluster, registry, catalog, allocator, claims, membership },
    status: () => ({ url: 'mesh:', members: [], outages: 0 }),
    skipped: () => member.state.skipped(),
    servers: [],
    close: () => member.close(),
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

async function foundIfAlone(init: MeshInit, self: Self, kept: Kept) {
  const { genesis } = kept;
  if (genesis !== undefined) return { ...kept, genesis };
  const { settings, journal, view } = init;
  if ((await journal.load('cluster')).some(({ id }) => id === 'cluster')) {
    throw new Refusal(
      'conflict',
      'this host belongs to a cluster whose state is in a store: say --cluster-store as before, or take it off that cluster with skein reset',
    );
  }
  const wishes = { advertise: settings.clusterAdvertise, data: settings.dataAddress };
  const facts = {
    created: new Date().toISOString(),
    nonce: randomBytes(16).toString('hex'),
    dataPort: settings.dataPort ?? defaultDataPort,
    underlay: chooseUnderlay(view, wishes).family,
  };
  const made = found(facts, self.signer);
  const token = new Token(randomBytes(16), clusterIdOf(made));
  const founded = { genesis: made, token, targets: kept.targets };
  await enter(journal, { ...founded, sheets: [] });
  return founded;
}

/** Of `address:port`. */
function addressIn(advertise: string): string {
  return advertise.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
}
