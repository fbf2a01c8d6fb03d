import { GATEWAY_BRIDGE } from '../gateway/gateway.ts';

/**
 * Packet rules of others that stand in our packets' way: each chain at a hook decides by itself, so what one of firewalld's,
 * ufw's or Docker's drops is lost, whatever our own table says. There a rule of ours goes first that accepts no more than
 * this: VXLAN that the guard has let in or out (it alone takes such packets out of connection tracking), and what goes out
 * by the gateway bridge or comes back to it. It ends the other's chain only; our own still decides. What is said of some
 * addresses or ports, or of our bridge by its name, is meant for containers too, and by itself no reason for a rule of ours.
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
  /** Set when the rule is ours: which, and what it is removed by. */
  readonly ours?: { readonly text: string; readonly handle?: number };
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

/** What our rules are known by, to us and to people. */
export const COMMENT = 'skein';

/** The chain that Docker keeps for others' rules. */
const DOCKER_USER = 'DOCKER-USER';

/** One kind of packet that has to get through. */
interface Passage {
  readonly hook: Hook;
  readonly packet: {
    readonly iif?: string;
    readonly oif?: string;
    readonly protocol?: string;
    readonly state?: string;
  };
  readonly nft: string;
  readonly iptables: string;
}

function passages(port: number): readonly Passage[] {
  const vxlan = {
    packet: { protocol: 'udp', state: 'untracked' },
    nft: `udp dport ${port} ct state untracked accept`,
    iptables: `-p udp -m udp --dport ${port} -m conntrack --ctstate UNTRACKED`,
  };
  const bridge = GATEWAY_BRIDGE;
  return [
    { hook: 'input', ...vxlan },
    { hook: 'output', ...vxlan },
    {
      hook: 'forward',
      packet: { iif: bridge },
      nft: `iifname "${bridge}" oifname != "${bridge}" accept`,
      iptables: `-i ${bridge} ! -o ${bridge}`,
    },
    {
      hook: 'forward',
      packet: { oif: bridge },
      nft: `oifname "${bridge}" ct state established,related accept`,
      iptables: `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED`,
    },
  ];
}

/** The rules that ought to stand in others' chains, among these. Pure. */
export function guestsIn(chains: readonly ForeignChain[], port: number): readonly Guest[] {
  return chains.flatMap((chain) => {
    const { program, family, table, hook } = chain;
    if (hook === undefined) return [];
    const beside = chains.filter((c) => c.program === program && c.family === family && c.table === table);
    const door = doorOf(chain, beside);
    return passages(port)
      .filter((passage) => passage.hook === hook && mayDrop(chain, passage.packet, beside))
      .map((passage) => {
        const rule = program === 'nft' ? passage.nft : `${passage.iptables} -m comment --comment ${COMMENT} -j ACCEPT`;
        return { program, family, table, chain: door, rule };
      });
  });
}

/** The rules of ours that are in these chains. Pure. */
export function guestsOf(chains: readonly ForeignChain[]): readonly (Guest & { readonly handle?: number })[] {
  return chains.flatMap(({ program, family, table, name, rules }) =>
    rules.flatMap(({ ours }) => {
      if (ours === undefined) return [];
      const { text: rule, handle } = ours;
      return [{ program, family, table, chain: name, rule, ...(handle !== undefined && { handle }) }];
    }),
  );
}

export function sameGuest(a: Guest, b: Guest): boolean {
  return formatGuest(a) === formatGuest(b);
}

export function formatGuest({ program, family, table, chain, rule }: Guest): string {
  return `${program} ${family} ${table} ${chain}: ${rule}`;
}

function doorOf(chain: ForeignChain, beside: readonly ForeignChain[]): string {
  const leads = chain.rules.some(({ jumps }) => jumps.includes(DOCKER_USER));
  return leads && beside.some(({ name }) => name === DOCKER_USER) ? DOCKER_USER : chain.name;
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
  return chain.rules.some((rule) => {
    const { drops, jumps, only, ours } = rule;
    if (ours !== undefined || !couldMatch(only, packet) || isMeant(rule, packet)) return false;
    if (drops) return true;
    return jumps.some((name) => {
      const to = path.has(name) ? undefined : beside.find((each) => each.name === name);
      return to !== undefined && mayDrop(to, packet, beside, path);
    });
  });
}

/** Whether somebody wants just this of the packets of containers. */
function isMeant({ only, chooses }: ForeignRule, { iif, oif }: Passage['packet']): boolean {
  const isContainers = iif === GATEWAY_BRIDGE || oif === GATEWAY_BRIDGE;
  return isContainers && (chooses || only.iif === GATEWAY_BRIDGE || only.oif === GATEWAY_BRIDGE);
}

function couldMatch(only: ForeignRule['only'], packet: Passage['packet']): boolean {
  const apart = (rule: string | undefined, is: string | undefined) =>
    rule !== undefined && is !== undefined && rule !== is && !(/[*+]$/.test(rule) && is.startsWith(rule.slice(0, -1)));
  if (apart(only.iif, packet.iif) || apart(only.oif, packet.oif) || apart(only.protocol, packet.protocol)) return false;
  return packet.state === undefined || only.states === undefined || only.states.includes(packet.state);
}
