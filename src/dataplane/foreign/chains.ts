import { EXPOSED } from '../endpoint/exposed.ts';
import { GATEWAY_BRIDGE } from '../gateway/gateway.ts';

/**
 * Packet rules of others that stand in our packets' way: each chain at a hook decides by itself, so what one of firewalld's,
 * ufw's or Docker's drops is lost, whatever our own table says. There a rule of ours goes in that accepts no more than
 * this: VXLAN that the guard has let in or out (it alone takes such packets out of connection tracking), and what goes out
 * by the gateway bridge or comes back to it; and, while the host itself is on a network, what it forwards onto that and what
 * comes back. What is for the host itself, its own firewall decides. It ends the other's chain only; our own still decides.
 * What is said of some addresses or ports, or of our interfaces by their names, is meant for containers too, and by itself
 * no reason for a rule of ours; so is all that stands in a chain which a program keeps for its user.
 *
 * It goes where it is late and not too late: before the first rule that could drop the packet without meaning it, else at
 * the end, where the policy drops. So what the user has said comes first. In DOCKER-USER all is the user's: there it stands
 * last, before what leaves the chain.
 */

/** A chain of another's, as far as it matters whether it drops. */
export interface ForeignChain {
  readonly program: Program;
  readonly family: 'ip' | 'ip6' | 'inet';
  readonly table: string;
  readonly name: string;
  /** Absent in one that is only jumped to. */
  readonly hook?: Hook;
  readonly drops: boolean;
  readonly rules: readonly ForeignRule[];
}

/** Who set the table, and so who has to write in it: nft's words in a table of iptables make iptables refuse it. */
export type Program = 'nft' | 'iptables-nft' | 'ip6tables-nft' | 'iptables-legacy' | 'ip6tables-legacy';
export type Hook = 'input' | 'forward' | 'output';

export interface ForeignRule {
  /** What happens to a packet that it matches. */
  readonly drops: boolean;
  readonly jumps: readonly string[];
  /** What it matches, where that is known: a packet that is something else it leaves alone. */
  readonly only: Partial<Record<'iif' | 'oif' | 'protocol', string>> & { readonly states?: readonly string[] };
  /** Whether it is for some addresses or ports only. */
  readonly chooses: boolean;
  /** Whether no packet gets past it, and none is dropped by it. */
  readonly leaves: boolean;
  /** By which nft finds it again. */
  readonly handle?: number;
  /** Set when the rule is ours: which, and what it is removed by. */
  readonly ours?: string;
}

/** A rule of ours in another's chain. */
export interface Guest {
  readonly program: Program;
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  /** In the program's own words. */
  readonly rule: string;
}

/** One that ought to be there, after no fewer and no more rules of others in its chain. */
export interface Wanted extends Guest {
  readonly least: number;
  readonly most: number;
  /** The rule that it has to stand before; at the end of the chain there is none. */
  readonly before?: { readonly handle?: number };
}

/** One that is there, after so many rules of others. */
export interface Present extends Guest {
  readonly after: number;
  readonly handle?: number;
}

/** What our rules are known by, to us and to people. */
export const COMMENT = 'skein';

/** In the words of iptables. */
const EXPOSED_PLUS = EXPOSED.replace('*', '+');

/** The chain that Docker keeps for others' rules. */
const DOCKER_USER = 'DOCKER-USER';
/** Chains that a program keeps for its user. */
const users = /^(DOCKER-USER|ufw6?-user-(input|output|forward))$/;

/** One kind of packet that has to get through. */
interface Passage {
  readonly hook: Hook;
  readonly packet: {
    readonly iif?: string;
    readonly oif?: string;
    readonly protocol?: string;
    readonly states: readonly string[];
  };
  readonly nft: string;
  readonly iptables: string;
}

/** `exposed`: whether the host itself is on a network. */
interface Ways {
  readonly port: number;
  readonly exposed: boolean;
}

function passages({ port, exposed }: Ways): readonly Passage[] {
  const vxlan = {
    packet: { protocol: 'udp', states: ['untracked'] },
    nft: `udp dport ${port} ct state untracked accept`,
    iptables: `-p udp -m udp --dport ${port} -m conntrack --ctstate UNTRACKED`,
  };
  const bridge = GATEWAY_BRIDGE;
  const own: readonly Passage[] = [
    {
      hook: 'forward',
      packet: { oif: EXPOSED, states: ['new', 'established', 'related'] },
      nft: `oifname "${EXPOSED}" accept`,
      iptables: `-o ${EXPOSED_PLUS}`,
    },
    {
      hook: 'forward',
      packet: { iif: EXPOSED, states: ['established', 'related'] },
      nft: `iifname "${EXPOSED}" ct state established,related accept`,
      iptables: `-i ${EXPOSED_PLUS} -m conntrack --ctstate RELATED,ESTABLISHED`,
    },
  ];
  return [
    { hook: 'input', ...vxlan },
    { hook: 'output', ...vxlan },
    {
      hook: 'forward',
      packet: { iif: bridge, states: ['new', 'established', 'related'] },
      nft: `iifname "${bridge}" oifname != "${bridge}" accept`,
      iptables: `-i ${bridge} ! -o ${bridge}`,
    },
    {
      hook: 'forward',
      packet: { oif: bridge, states: ['established', 'related'] },
      nft: `oifname "${bridge}" ct state established,related accept`,
      iptables: `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED`,
    },
    ...(exposed ? own : []),
  ];
}

/** The rules that ought to stand in others' chains, among these. Pure. */
export function guestsIn(chains: readonly ForeignChain[], ways: Ways): readonly Wanted[] {
  const wanted = chains.flatMap((chain): readonly Wanted[] => {
    const { program, family, table, hook } = chain;
    if (hook === undefined) return [];
    const beside = chains.filter((c) => c.program === program && c.family === family && c.table === table);
    const door = doorOf(chain, beside);
    return passages(ways)
      .filter((passage) => passage.hook === hook && mayDrop(chain, passage.packet, beside))
      .map((passage) => {
        const rule = program === 'nft' ? passage.nft : `${passage.iptables} -m comment --comment ${COMMENT} -j ACCEPT`;
        return { program, family, table, chain: door.name, rule, ...spanIn(door, passage.packet, beside) };
      });
  });
  // Several chains may lead to one that is kept for its user.
  return [...new Map(wanted.map((guest) => [formatGuest(guest), guest])).values()];
}

/** The rules of ours that are in these chains. Pure. */
export function guestsOf(chains: readonly ForeignChain[]): readonly Present[] {
  return chains.flatMap(({ program, family, table, name, rules }) => {
    let after = 0;
    return rules.flatMap(({ ours, handle }) => {
      if (ours === undefined) {
        after += 1;
        return [];
      }
      return [{ program, family, table, chain: name, rule: ours, after, ...(handle !== undefined && { handle }) }];
    });
  });
}

/** Whether one that is there is the one that is wanted, at a place where it is of use and in no user's way. */
export function isInPlace(present: Present, wanted: Wanted): boolean {
  return sameGuest(present, wanted) && present.after >= wanted.least && present.after <= wanted.most;
}

export function sameGuest(a: Guest, b: Guest): boolean {
  return formatGuest(a) === formatGuest(b);
}

export function formatGuest({ program, family, table, chain, rule }: Guest): string {
  return `${program} ${family} ${table} ${chain}: ${rule}`;
}

function doorOf(chain: ForeignChain, beside: readonly ForeignChain[]): ForeignChain {
  const leads = chain.rules.some(({ jumps }) => jumps.includes(DOCKER_USER));
  return (leads ? beside.find(({ name }) => name === DOCKER_USER) : undefined) ?? chain;
}

/** Where a rule for the packet may stand, by the number of others' rules before it: after what is meant, before the rest. */
function spanIn(
  door: ForeignChain,
  packet: Passage['packet'],
  beside: readonly ForeignChain[],
): Pick<Wanted, 'least' | 'most' | 'before'> {
  const rules = door.rules.filter(({ ours }) => ours === undefined);
  const isEnd = (rule: ForeignRule) => rule.leaves || (!users.test(door.name) && couldDrop(rule, packet, beside));
  const end = rules.findIndex(isEnd);
  const most = end < 0 ? rules.length : end;
  const meant = rules.slice(0, most).findLastIndex(({ drops, jumps }) => drops || jumps.length > 0);
  const before = rules[most];
  return { least: meant + 1, most, ...(before && { before }) };
}

/** Whether a chain, or one that it leads to, could drop the packet; in doubt it could. */
function mayDrop(
  chain: ForeignChain,
  packet: Passage['packet'],
  beside: readonly ForeignChain[],
  seen: ReadonlySet<string> = new Set(),
): boolean {
  if (chain.drops) return true;
  const path = new Set([...seen, chain.name]);
  return chain.rules.some((rule) => couldDrop(rule, packet, beside, path));
}

function couldDrop(
  rule: ForeignRule,
  packet: Passage['packet'],
  beside: readonly ForeignChain[],
  path: ReadonlySet<string> = new Set(),
): boolean {
  const { drops, jumps, only, ours } = rule;
  if (ours !== undefined || !couldMatch(only, packet) || isMeant(rule, packet)) return false;
  if (drops) return true;
  return jumps.some((name) => {
    const to = path.has(name) || users.test(name) ? undefined : beside.find((each) => each.name === name);
    return to !== undefined && mayDrop(to, packet, beside, path);
  });
}

/** Whether somebody wants just this of the packets of containers. */
function isMeant({ only, chooses }: ForeignRule, { iif, oif }: Passage['packet']): boolean {
  const isContainers = isOurs(iif) || isOurs(oif);
  return isContainers && (chooses || isOurs(only.iif) || isOurs(only.oif));
}

function isOurs(name: string | undefined): boolean {
  return name === GATEWAY_BRIDGE || name?.startsWith(EXPOSED.slice(0, -1)) === true;
}

function couldMatch(only: ForeignRule['only'], packet: Passage['packet']): boolean {
  const apart = (rule: string | undefined, is: string | undefined) =>
    rule !== undefined && is !== undefined && rule !== is && !(/[*+]$/.test(rule) && is.startsWith(rule.slice(0, -1)));
  if (apart(only.iif, packet.iif) || apart(only.oif, packet.oif) || apart(only.protocol, packet.protocol)) return false;
  return only.states === undefined || packet.states.some((state) => only.states?.includes(state));
}
