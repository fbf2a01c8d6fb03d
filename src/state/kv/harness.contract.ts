import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningEtcd, startEtcd } from '../../lab/etcd.ts';
import { openEtcd } from './etcd/etcd.ts';
import { openLocal } from './local/local.ts';
import type { Store } from './store.ts';

/** A real store that a suite runs on. */
export interface StoreHarness {
  /** A client. In etcd each is another one, as another host has it; a local store has the one only. */
  open(): Promise<Store>;
  close(): Promise<void>;
}

export interface StoreKind {
  readonly name: string;
  /** Whether several hosts can share it. */
  readonly shared: boolean;
  readonly start: () => Promise<StoreHarness>;
}

/** Every kind of store that there is: each suite runs on all of them. */
export const storeKinds: readonly StoreKind[] = [
  {
    name: 'etcd',
    shared: true,
    async start() {
      const etcd = await startTestEtcd();
      return { open: async () => openEtcd({ members: [etcd.address], url: etcd.url }), close: () => etcd.close() };
    },
  },
  {
    name: 'a local file',
    shared: false,
    async start() {
      const folder = await mkdtemp(join(tmpdir(), 'skein-local-'));
      const store = await openLocal(join(folder, 'store.db'));
      return {
        open: async () => ({ ...store, close: async () => {} }),
        async close() {
          await store.close();
          await rm(folder, { recursive: true, force: true });
        },
      };
    },
  },
];

export interface TestEtcd {
  readonly address: string;
  readonly url: string;
  readonly pid: () => number;
  /** May be replaced while it is stopped. */
  readonly dataDir: string;
  stop(): Promise<void>;
  /** On the same port, with the data that it had. */
  start(): Promise<void>;
  close(): Promise<void>;
}

export async function startTestEtcd(): Promise<TestEtcd> {
  const dataDir = await mkdtemp(join(tmpdir(), 'skein-etcd-'));
  const address = `127.0.0.1:${await freePort()}`;
  let running: RunningEtcd = await startEtcd({ dataDir, listen: address });
  return {
    address,
    dataDir,
    url: running.url,
    pid: () => running.pid,
    stop: () => running.stop(),
    async start() {
      running = await startEtcd({ dataDir, listen: address });
    },
    async close() {
      await running.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('find a free port: no address');
  return address.port;
}
