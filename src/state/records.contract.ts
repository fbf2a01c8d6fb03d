import { createHash } from 'node:crypto';
import type { Endpoint } from '../model/endpoint.ts';
import type { Host } from '../model/host.ts';
import type { NameRecord } from '../model/name-record.ts';
import type { Network } from '../model/network.ts';
import type { Allocator } from './allocator.ts';
import type { Catalog } from './catalog.ts';
import type { Claims } from './claims.ts';
import type { Registry } from './registry.ts';

/** The state that the suites run on: several hosts in one cluster. */
export interface StateHarness {
  /** One more host, alive until it is closed; the host with `id` of the same text is the same host. */
  join(name: string): Promise<StateClient>;
  /** Puts a text where a record of the network stands, as a faulty or hostile writer would. */
  spoil(network: string, text: string): Promise<void>;
  /** Until everyone has heard what hosts said before. Who asks a store hears it at once. */
  spread(): Promise<void>;
  close(): Promise<void>;
}

export interface StateClient {
  readonly host: string;
  readonly registry: Registry;
  readonly catalog: Catalog;
  readonly allocator: Allocator;
  readonly claims: Claims;
  skipped(): readonly { readonly key: string; readonly reason: string }[];
  /** Waits until this host may judge others lost. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

export interface StateKind {
  readonly name: string;
  readonly start: () => Promise<StateHarness>;
}

export function hexId(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export function hostIdOf(name: string): string {
  return hexId(name).slice(0, 32);
}

export function hostRecord(name: string): Host {
  return {
    id: hostIdOf(name),
    name,
    key: `${'A'.repeat(43)}=`,
    advertise: '192.0.2.1:2376',
    data: '192.0.2.1',
    mtu: 1500,
    routes: [],
    version: '0.1.0',
    featureLevel: 1,
    epoch: 1,
    bootId: 'boot',
    started: '2026-01-01T00:00:00.000Z',
  };
}

export function endpointRecord(host: string, network: string, name: string): Endpoint {
  return {
    id: hexId(`${network} ${name}`),
    network,
    name,
    aliases: [],
    mac: '02:42:0a:00:00:02',
    addresses: ['10.0.0.2/24'],
    host,
    epoch: 1,
    sandbox: { id: '0123456789ab', key: '/run/skein/netns/0123456789ab' },
    created: '2026-01-01T00:00:00.000Z',
  };
}

export function nameRecord(host: string, name: string): NameRecord {
  return {
    ...{ id: hexId(`${host} ${name}`), name, addresses: ['192.0.2.9', 'fd00::9'] },
    ...{ host, epoch: 1, created: '2026-01-01T00:00:00.000Z' },
  };
}

export function networkRecord(name: string): Network {
  return {
    id: hexId(name),
    name,
    created: '2026-01-01T00:00:00.000Z',
    driver: 'overlay',
    subnets: [{ subnet: '10.0.0.0/24', gateway: '10.0.0.1' }],
    vni: 256,
    mtu: 1450,
    ipv6: false,
    internal: false,
    attachable: true,
    options: {},
    labels: {},
    owner: hostIdOf('one'),
  };
}

/** Reads a watch one event after the other, with a bound on the wait. */
export function reading<T>(open: (signal: AbortSignal) => AsyncIterable<T>): {
  next(): Promise<T>;
  until(wanted: (event: T) => boolean): Promise<T>;
  stop(): Promise<void>;
} {
  const abort = new AbortController();
  const events = open(abort.signal)[Symbol.asyncIterator]();
  const next = async (): Promise<T> => {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error('no event in 20 s')), 20_000);
    try {
      const result = await Promise.race([events.next(), late.promise]);
      if (result.done) throw new Error('the watch ended');
      return result.value;
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    next,
    async until(wanted) {
      for (;;) {
        const event = await next();
        if (wanted(event)) return event;
      }
    },
    async stop() {
      abort.abort();
      await events.return?.();
    },
  };
}
