import { randomBytes } from 'node:crypto';
import { backoff } from '../../../lib/backoff.ts';
import { messageOf, Refusal } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { Scope } from '../../../lib/scope.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import type { Journal } from '../../journal.ts';
import { parseLinkAddress } from '../link/address.ts';
import type { Channel } from '../link/channel.ts';
import { dial } from '../link/dial.ts';
import { listen } from '../link/listen.ts';
import type { Connected, HostName, Membership, Reached, TargetState } from '../membership.ts';
import { type FirstCluster, openRoom } from '../room/room.ts';
import { sealOf } from '../signing.ts';
import { Attempts } from '../trust/attempts.ts';
import { parseEvidence } from '../trust/evidence.ts';
import { clusterIdOf, type Genesis } from '../trust/genesis.ts';
import { sentence } from '../trust/refused.ts';
import { parseJoinToken, type Token } from '../trust/token.ts';
import { clock } from './clock.ts';
import { greetWaiting } from './joining.ts';
import { enter, type Kept, keepRoom, keepTargets } from './kept.ts';
import type { Self } from './self.ts';
import { formatTarget, mostTargets } from './targets.ts';

export interface OpenWaiting {
  readonly self: Self;
  readonly token: Token;
  readonly kept: Kept;
  /** Of a cluster that this host founds. */
  readonly facts: Pick<Genesis, 'created' | 'dataPort' | 'underlay'>;
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  /** Opens the daemon's parts anew: this host belongs to a cluster. */
  readonly restart: () => void;
  readonly log: Log;
}

/** For which who is connected to is waited for, and who asked is waited for to have heard the answer, in milliseconds. */
const patience = 5_000;
const pace = { first: 250, most: 5_000 } as const;

interface Target {
  state: TargetState['state'];
  host: HostName | undefined;
  why: string | undefined;
  readonly stop: AbortController;
}

/**
 * A host that has a token and no cluster: it takes connections, and dials its targets, until it belongs to one.
 * @throws Refusal
 */
export async function openWaiting(
  options: OpenWaiting,
): Promise<{ readonly membership: Membership; close(): Promise<void> }> {
  const { self, token, kept, facts, journal, restart, log } = options;
  const { credentials } = self;
  const scope = new Scope();
  const stopping = new AbortController();
  scope.defer(() => stopping.abort());
  const seal = sealOf(self.signer);
  const attempts = new Attempts();
  const targets = new Map<string, Target>();
  /** Those who wait for what comes of connecting: they are answered before everything begins anew. */
  let askers = 0;
  let cluster: string | undefined;
  const place = formatTarget(self.address, self.port);

  const room = openRoom({
    ...{ seal, token, name: self.name, addresses: [place], stored: kept.room, log },
    ...{ clock, random: Math.random },
    facts: () => ({ ...facts, nonce: randomBytes(16).toString('hex') }),
    dial: async (address, host) => void (await meet(address, host)),
    save: (record) => keepRoom(journal, record),
    done: leave,
  });
  scope.defer(() => room.close());

  async function leave({ genesis, sheets, hosts }: FirstCluster): Promise<void> {
    // The others may be known to nobody who is up when this host begins anew.
    const seeds = genesis.founder === self.signer.key ? [] : [...hosts.values()].flat();
    const admitted = { genesis, sheets: parseEvidence(sheets, { genesis, seal }) };
    await enter(journal, { ...admitted, token, targets: [...targets.keys()], seeds });
    cluster = clusterIdOf(genesis);
    log.info('this host belongs to a cluster', { cluster });
    if (askers === 0) restart();
  }

  /** Answers why nothing came of it. */
  async function welcome(channel: Channel): Promise<string | undefined> {
    const { greeting, learnt } = await greetWaiting(channel, { self, token, attempts, log });
    if (greeting.kind === 'met') room.met(channel);
    else if (greeting.kind === 'open') {
      channel.close('this host begins anew in its cluster');
      if (learnt !== undefined) room.learn(learnt);
    }
    if (greeting.kind === 'refused') return sentence(channel.address, greeting);
    return greeting.kind === 'ended' ? `${channel.address}: ${greeting.why}` : undefined;
  }

  async function meet(
    address: string,
    peer?: string,
  ): Promise<{ readonly host?: string; readonly why?: string | undefined }> {
    try {
      const options = { credentials, ...parseLinkAddress(address), peer, signal: stopping.signal };
      const channel = await dial(options);
      const why = await welcome(channel);
      return why === undefined ? { host: hostIdOf(channel.peerKey) } : { why };
    } catch (error) {
      return { why: messageOf(error) };
    }
  }

  const named = (id: string): HostName => {
    const name = room.known().find((one) => one.id === id)?.name;
    return { id, ...(name !== undefined && { name }) };
  };

  const isMet = (id: string | undefined) => room.known().some((one) => one.id === id && one.reached);

  function pursue(address: string): void {
    if (targets.has(address)) return;
    const stop = new AbortController();
    const target: Target = { state: 'connecting', host: undefined, why: undefined, stop };
    targets.set(address, target);
    const run = async () => {
      const signal = AbortSignal.any([stop.signal, stopping.signal]);
      for await (const _ of backoff({ ...pace, signal })) {
        if (isMet(target.host?.id)) continue;
        const { host, why } = await meet(address);
        if (host !== undefined) target.host = named(host);
        target.why = why;
        target.state = why === undefined ? 'established' : 'retrying';
      }
    };
    run().catch((error: unknown) => log.error('a target is dialled no more', { address, error }));
  }

  try {
    const listener = await listen({
      ...{ credentials, address: self.listen, port: self.port, log },
      greet: async (channel) => {
        const why = await welcome(channel);
        if (why !== undefined) log.info('a host was not met', { peer: channel.address, why });
      },
    });
    scope.defer(() => listener.close());
  } catch (error) {
    await scope.close();
    throw error;
  }
  for (const address of kept.targets) pursue(address);

  const waits = (what: string) =>
    new Refusal('unavailable', `cannot ${what}: this host waits for others with its token: skein connect HOST`);

  const membership: Membership = {
    standing() {
      const problem = room.problem();
      return {
        ...{ kind: 'waiting', place },
        met: room.known().flatMap(({ id, name, reached }) => (reached ? [{ id, name }] : [])),
        ...(problem !== undefined && { problem }),
      };
    },
    async connect({ targets: asked, token: text, replace }): Promise<Connected> {
      const all = [...new Set([...(replace ? [] : targets.keys()), ...asked])];
      if (all.length > mostTargets) throw new Refusal('invalid', `a host has at most ${mostTargets} targets`);
      if (text !== undefined && parseJoinToken(text).signer().key !== token.signer().key) {
        const remedy = 'end it with skein stop, and launch it with that one';
        throw new Refusal('conflict', `this host waits for others with another token: ${remedy}`);
      }
      await keepTargets(journal, all);
      for (const [address, { stop }] of targets) {
        if (all.includes(address)) continue;
        stop.abort();
        targets.delete(address);
      }
      askers += 1;
      try {
        for (const address of asked) pursue(address);
        const reached = await reach(asked);
        return { ...(cluster !== undefined && { cluster, restart }), reached };
      } finally {
        askers -= 1;
      }
    },
    async disconnect(gone) {
      const strange = gone.find((address) => !targets.has(address));
      if (strange !== undefined)
        throw new Refusal('not-found', `${strange} is no target of this host; see skein status targets`);
      const left = [...targets.keys()].filter((address) => !gone.includes(address));
      await keepTargets(journal, left);
      for (const address of gone) {
        targets.get(address)?.stop.abort();
        targets.delete(address);
      }
    },
    targets: () =>
      Array.from(
        targets,
        ([address, { state, host, why }]): TargetState => ({
          ...{ address, byHand: true, state },
          ...(host !== undefined && { host: named(host.id) }),
          ...(why !== undefined && { why }),
        }),
      ),
    token: async () => token.reveal(),
    rotateToken: () => Promise.reject(waits('make another token')),
    remove: () => Promise.reject(waits('remove a host')),
    promote: () => Promise.reject(waits('make a host an admin')),
    depart: () => Promise.resolve(undefined),
    peers: () =>
      room.known().map(({ id, name, addresses, reached }) => ({
        ...{ id, name, role: 'member', self: false, addresses, links: [] },
        state: reached ? 'alive' : 'suspect',
      })),
    connections: () => [],
    ranges: () => [],
  };

  /** Until each was met, or it is known why not. */
  async function reach(asked: readonly string[]): Promise<readonly Reached[]> {
    const signal = AbortSignal.timeout(patience);
    for await (const _ of backoff({ first: 20, most: 100, signal })) {
      const open = asked.some((address) => targets.get(address)?.state === 'connecting');
      if (cluster !== undefined || !open) break;
    }
    return asked.map((target) => {
      const found = targets.get(target);
      const why = found?.why ?? (found?.host === undefined ? 'it did not answer yet; it is tried again' : undefined);
      return {
        target,
        ...(found?.host !== undefined && { host: named(found.host.id) }),
        ...(why !== undefined && cluster === undefined && { why }),
      };
    });
  }

  return { membership, close: () => scope.close() };
}
