import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { ParseError, Refusal } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { hostIdOf } from '../../../model/host-key.ts';
import { Name } from '../../../model/text.ts';
import type { Journal } from '../../journal.ts';
import { listIn } from '../host-sheet.ts';
import type {
  Connected,
  ConnectionState,
  ConnectRequest,
  HostName,
  Membership,
  PeerState,
  Reached,
  TargetState,
} from '../membership.ts';
import { verify } from '../signing.ts';
import { type Admin, promotion, removal, rotation } from '../trust/changes.ts';
import { clusterIdOf } from '../trust/genesis.ts';
import { reasons } from '../trust/refused.ts';
import { parseJoinToken, Token } from '../trust/token.ts';
import { judgeOf } from '../trust/trust.ts';
import { clock } from './clock.ts';
import { type Attempt, join } from './joining.ts';
import { enter, type Kept, keepTargets, keepToken } from './kept.ts';
import type { Member } from './member.ts';
import { rangesOf } from './ranges.ts';
import type { Self } from './self.ts';
import { formatTarget, mostTargets } from './targets.ts';

export interface MembershipNeeds {
  readonly self: Self;
  readonly member: Member;
  readonly kept: Kept & { readonly genesis: NonNullable<Kept['genesis']> };
  readonly journal: Pick<Journal, 'load' | 'commit'>;
  /** Opens the daemon's parts anew. */
  readonly restart: () => void;
  readonly log: Log;
}

const Named = v.looseObject({ name: Name });

/** For which who is connected to is waited for, in milliseconds. */
const patience = 5_000;
/** How many pings in a row say that datagrams do not come through. */
const mute = 3;

export function openMembership(needs: MembershipNeeds): Membership {
  const { self, member, kept, journal, restart, log } = needs;
  const { mesh, view } = member;
  const { genesis } = kept;
  let token = kept.token;
  let targets = kept.targets;

  const nameOf = (id: string): string | undefined => {
    const said = v.safeParse(Named, mesh.sheets.read(id, 'host')?.entries.get(`host/${id}`));
    return said.success ? said.output.name : view.now().hosts.get(id)?.name;
  };
  const named = (id: string): HostName => {
    const name = id === self.id ? self.name : nameOf(id);
    return { id, ...(name !== undefined && { name }) };
  };
  const admin = (): Admin => ({
    signer: self.signer,
    judge: judgeOf(genesis, verify),
    sheets: mesh.sheets.list('trust'),
  });
  const roleOf = (id: string) => view.now().hosts.get(id)?.role ?? 'member';
  const forbidden = (what: string) => {
    const admins = [...view.now().hosts].filter(([, { role }]) => role === 'admin').map(([id]) => nameOf(id) ?? id);
    return new Refusal(
      'forbidden',
      `${what}: this host is no admin of the cluster; ${admins.slice(0, 5).join(', ')} can`,
    );
  };
  const find = (text: string): string => {
    const all = [...view.now().hosts.keys()];
    const [exact, another] = all.filter((id) => id === text || nameOf(id) === text);
    const [short, more] = text.length < 4 ? [] : all.filter((id) => id.startsWith(text));
    const found = exact ?? short;
    if (found === undefined)
      throw new Refusal('not-found', `no host ${text} belongs to the cluster; see skein host ls`);
    if (another ?? (exact === undefined && more))
      throw new Refusal('conflict', `${text} means several hosts; give an id`);
    return found;
  };
  const reasonOf = (host: string): string | undefined => {
    const way = mesh.way(host);
    return way !== undefined && way.missed >= mute
      ? `UDP port ${self.port} does not come through between here and there: let it through the firewalls between`
      : undefined;
  };

  const connections = (): readonly ConnectionState[] =>
    mesh.connections().map(({ peer, address = '', dialled, state, since, why }): ConnectionState => {
      const rtt = peer === undefined ? undefined : mesh.way(peer)?.rtt;
      const reason = why ?? (peer === undefined ? undefined : reasonOf(peer));
      return {
        ...(peer !== undefined && { peer: named(peer) }),
        ...{ address, dialled, state: isRefused(why) ? 'refused' : state, since: at(since) },
        ...(rtt !== undefined && { rtt }),
        ...(reason !== undefined && { why: reason }),
      };
    });

  const targetStates = (): readonly TargetState[] => {
    const all = mesh.connections();
    return targets.map((address): TargetState => {
      const host = mesh.behind(address);
      const found = all.find((one) => one.byHand && one.address === address) ?? all.find(({ peer }) => peer === host);
      return {
        ...{ address, byHand: true, state: isRefused(found?.why) ? 'refused' : (found?.state ?? 'connecting') },
        ...(host !== undefined && { host: named(host) }),
        ...(found?.why !== undefined && { why: found.why }),
        ...(found?.next !== undefined && { next: at(found.next) }),
      };
    });
  };

  const problemOf = (): string | undefined => {
    const conflicts = member.state.allocator.conflicts().length;
    if (conflicts > 0) return `${conflicts} numbers have two holders: see skein status ipam`;
    const removed = mesh.connections().find(({ why }) => why?.endsWith(reasons.removed));
    return removed && `this host ${reasons.removed}`;
  };

  const setTargets = async (next: readonly string[]): Promise<void> => {
    if (next.length > mostTargets) throw new Refusal('invalid', `a host has at most ${mostTargets} targets`);
    await keepTargets(journal, next);
    targets = next;
    mesh.setTargets(next);
  };

  /** Dials what belongs to the same cluster. */
  const reach = async (asked: readonly string[]): Promise<readonly Reached[]> => {
    const end = clock.now() + patience;
    const look = (target: string): Reached | undefined => {
      const host = mesh.behind(target);
      const link = mesh.connections().find(({ peer }) => peer !== undefined && peer === host);
      const why = mesh.connections().find((one) => one.address === target)?.why;
      if (host !== undefined && link?.state === 'established') {
        const way = mesh.way(host);
        if (way === undefined || (way.rtt === undefined && way.missed < mute)) return undefined;
        const reason = reasonOf(host);
        return { target, host: named(host), ...(reason !== undefined && { why: reason }) };
      }
      return why === undefined ? undefined : { target, why };
    };
    for (;;) {
      const seen = asked.map((target) => look(target));
      if (seen.every((one) => one !== undefined) || clock.now() >= end)
        return seen.map((one, i) => one ?? { target: asked[i] ?? '', why: 'it did not answer yet; it is tried again' });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  const change = async (asked: readonly string[], replace: boolean): Promise<readonly Reached[]> => {
    const before = targets;
    await setTargets([...new Set([...(replace ? [] : targets), ...asked])]);
    const reached = await reach(asked);
    const isOther = ({ host, why }: Reached) => host === undefined && why?.includes('another cluster') === true;
    const other = reached.find(isOther);
    if (other === undefined || reached.some(({ host }) => host !== undefined)) return reached;
    await setTargets(before);
    throw new Refusal('forbidden', `${other.why ?? other.target}; then: skein connect --token TOKEN ${other.target}`);
  };

  const keptBy = (asked: readonly string[]) =>
    new Refusal(
      'conflict',
      `this host belongs to cluster ${view.cluster.slice(0, 12)}, and ${member.held() ?? 'it held something'}: to leave that for another, run skein reset here, then skein launch --token TOKEN ${asked.join(' ')}`,
    );

  const enterOther = async (asked: readonly string[], replace: boolean, other: Token): Promise<Connected> => {
    const keeps = member.held();
    const signal = AbortSignal.timeout(patience);
    const attempts: (readonly [string, Attempt])[] = [];
    for (const target of asked) {
      if (keeps !== undefined) break;
      const attempt = await join(target, { self, token: other, signal, log });
      attempts.push([target, attempt]);
      if (attempt.kind !== 'admitted') continue;
      const next = [...new Set([...(replace ? [] : targets), ...asked])].slice(0, mostTargets);
      const cluster = clusterOf(attempt);
      if (cluster === view.cluster) break;
      // A container may have come meanwhile.
      if (member.held() !== undefined) throw keptBy(asked);
      await enter(journal, { ...attempt.admitted, token: other, targets: next });
      log.info('this host joins another cluster', { cluster, through: target });
      const reached = asked.map(
        (one): Reached => ({ target: one, ...(one === target && { host: { id: hostIdOf(attempt.peer) } }) }),
      );
      return { cluster, restart, reached };
    }
    if (keeps !== undefined) throw keptBy(asked);
    throw refusalOf(attempts);
  };

  return {
    standing() {
      const problem = problemOf();
      return {
        ...{ kind: 'member', cluster: view.cluster, role: roleOf(self.id), empty: member.held() === undefined },
        place: formatTarget(self.address, self.port),
        ...(problem !== undefined && { problem }),
      };
    },
    async connect({ targets: asked, token: text, replace }: ConnectRequest) {
      const other = text === undefined ? undefined : tokenIn(text);
      const isCurrent = other !== undefined && other.signer().key === view.now().token?.key;
      const isOwn = other === undefined || isCurrent || other.fingerprint === view.cluster.slice(0, 32);
      if (isCurrent && token?.reveal() !== other.reveal()) {
        await keepToken(journal, other);
        token = other;
      }
      if (!isOwn) return await enterOther(asked, replace, other);
      return { cluster: view.cluster, reached: await change(asked, replace) };
    },
    async disconnect(gone) {
      const strange = gone.find((one) => !targets.includes(one));
      if (strange !== undefined)
        throw new Refusal('not-found', `${strange} is no target of this host; see skein status targets`);
      await setTargets(targets.filter((one) => !gone.includes(one)));
    },
    targets: targetStates,
    async token() {
      const { token: current } = view.now();
      if (token !== undefined && token.signer().key === current?.key) return token.reveal();
      if (roleOf(self.id) !== 'admin') throw forbidden('show the token');
      throw new Refusal(
        'forbidden',
        'show the token: another host made it; run it there, or make another with skein token rotate',
      );
    },
    async rotateToken() {
      if (roleOf(self.id) !== 'admin') throw forbidden('make another token');
      const next = new Token(randomBytes(16), view.cluster);
      // Before it counts: a token that nobody knows would let nobody in.
      await keepToken(journal, next);
      await member.say(rotation(view.now(), next.signer()));
      token = next;
      return next.reveal();
    },
    async remove(text, { force }) {
      const id = find(text);
      if (roleOf(self.id) !== 'admin') throw forbidden(`remove host ${text}`);
      const state = mesh.members.list().find((one) => one.id === id)?.state;
      if (!force && id !== self.id && (state === 'alive' || state === 'suspect'))
        throw new Refusal('conflict', `host ${text} is alive: run skein reset on it, or say --force`);
      const facts = named(id);
      const at = Math.max(0, ...member.standing.removals().map((one) => one.at)) + 1;
      const out = removal(admin(), new Set([id]), { heir: self.id, at, force });
      // Who is out may know the token.
      const next = new Token(randomBytes(16), view.cluster);
      await keepToken(journal, next);
      await member.say(new Map([...out, ...rotation(view.now(), next.signer())]));
      token = next;
      return { ...facts, token: next.reveal() };
    },
    async depart() {
      const heir = await member.state.allocator.leave();
      const isOther = ([id, { role }]: readonly [string, { readonly role: string }]) =>
        id !== self.id && role === 'admin';
      if (heir !== undefined && roleOf(self.id) === 'admin' && ![...view.now().hosts].some(isOther))
        await member.say(promotion(admin(), heir));
      await member.withdraw();
      return heir === undefined ? undefined : named(heir);
    },
    async promote(text) {
      const id = find(text);
      await member.say(promotion(admin(), id));
      return named(id);
    },
    peers() {
      const states = new Map(mesh.members.list().map(({ id, state }) => [id, state]));
      return Array.from(view.now().hosts, ([id, { role }]): PeerState => {
        const sheet = mesh.sheets.read(id, 'host');
        return {
          ...{ ...named(id), role, self: id === self.id, addresses: listIn(sheet, 'addresses') },
          // Nothing came of it yet.
          state: states.get(id) ?? 'lost',
          links: listIn(sheet, 'neighbours').map((peer) => {
            const rtt = id === self.id ? mesh.way(peer)?.rtt : undefined;
            return { ...named(peer), ...(rtt !== undefined && { rtt }) };
          }),
        };
      }).toSorted((a, b) => ((a.name ?? a.id) < (b.name ?? b.id) ? -1 : 1));
    },
    connections,
    ranges: () => rangesOf({ ...member.state, named, members: mesh.members.list() }),
  };
}

function clusterOf({ admitted: { genesis } }: Extract<Attempt, { kind: 'admitted' }>): string {
  return clusterIdOf(genesis);
}

/** One of the two will not have it: time alone changes nothing. */
function isRefused(why: string | undefined): boolean {
  return why !== undefined && Object.values(reasons).some((reason) => why.endsWith(reason));
}

/** Why none of them let this host in. */
function refusalOf(attempts: readonly (readonly [string, Attempt])[]): Refusal {
  const whys = attempts.map(([target, attempt]) =>
    'why' in attempt ? attempt.why : `${target} waits for a cluster itself: launch this host with that token, too`,
  );
  const isRefused = attempts.some(([, { kind }]) => kind === 'refused');
  return new Refusal(isRefused ? 'forbidden' : 'unavailable', `cannot join: ${whys.join('; ')}`);
}

/** @throws Refusal 'invalid' */
function tokenIn(text: string): Token {
  try {
    return parseJoinToken(text);
  } catch (error) {
    if (error instanceof ParseError) throw new Refusal('invalid', error.message, { cause: error });
    throw error;
  }
}

/** Of a time of the clock, as others read it. */
function at(time: number): string {
  return new Date(Date.now() + time - clock.now()).toISOString();
}
