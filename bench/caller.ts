import { Pool } from 'undici';
import type { LabHost } from '../src/lab/lab.ts';

/** Namespaces of one host, and its API to put them on a network, over connections that are kept open. */
export interface Caller {
  /** Attaches namespace `n`. @returns its IPv4 address, without the prefix length */
  attach(n: number): Promise<string>;
  detach(n: number): Promise<void>;
  close(): Promise<void>;
}

export interface CallerOptions {
  /** How many namespaces. */
  readonly namespaces: number;
  readonly network: string;
  /** Calls that can be under way at once. */
  readonly connections: number;
  /** Whether each gets a way out of the host too. */
  readonly exit: boolean;
  /** What each is called; by default by its host and number. */
  readonly nameOf?: (n: number) => string;
}

/** Namespace `n` for `ip netns` on its host. */
export function namespaceOf(n: number): string {
  return `bench${n}`;
}

export async function openCaller(host: LabHost, options: CallerOptions): Promise<Caller> {
  const { namespaces, network, connections, exit, nameOf = (n) => `${host.name}-${n}` } = options;
  await host.exec([
    'sh',
    '-euc',
    `for n in $(seq 0 ${namespaces - 1}); do ip netns add ${namespaceOf(0).slice(0, -1)}$n; done`,
  ]);
  const pool = new Pool('http://skein', { socketPath: host.socket, connections });
  const place = (n: number) => ({ network, path: `/run/netns/${namespaceOf(n)}` });
  return {
    async attach(n) {
      const answer = await post(pool, 'attach', { ...place(n), name: nameOf(n), exit });
      const address = /"(\d+\.\d+\.\d+\.\d+)\/\d+"/.exec(answer)?.[1];
      if (address === undefined) throw new Error(`attach: no address in ${answer}`);
      return address;
    },
    async detach(n) {
      await post(pool, 'detach', place(n));
    },
    close: () => pool.close(),
  };
}

/** A network for a bench, with room for all that it attaches. */
export async function createNetwork(host: LabHost, name: string): Promise<void> {
  const pool = new Pool('http://skein', { socketPath: host.socket });
  try {
    await post(pool, 'networks', { name, subnets: [{ subnet: '10.20.0.0/16' }] });
  } finally {
    await pool.close();
  }
}

async function post(pool: Pool, path: string, body: object): Promise<string> {
  const headers = { 'content-type': 'application/json' };
  const answer = await pool.request({ method: 'POST', path: `/v1/${path}`, headers, body: JSON.stringify(body) });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${path} ${JSON.stringify(body)}: ${text}`);
  return text;
}
