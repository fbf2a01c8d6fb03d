import type { DoomedHost } from './host.ts';
import type { Operation } from './walk.ts';

const adopted = '/run/netns/foreign';

/** Made once: what the operations need to be there. */
export async function prepare({ client, host }: DoomedHost, elsewhere: DoomedHost['host']): Promise<void> {
  for (const [name, subnet] of [
    ['n1', '10.1.0.0/24'],
    ['n2', '10.2.0.0/24'],
  ] as const)
    await client.call('createNetwork', { body: { name, subnets: [{ subnet }] } });
  await host.exec(['ip', 'netns', 'add', 'foreign']);
  await elsewhere.exec(['skein', 'run', '-d', '--name', 'far', '--network', 'n1', '--', 'sleep', '10000']);
}

const run: Operation = {
  name: 'run',
  act: ({ client }) =>
    client.call('runContainer', { body: { name: 'c1', command: ['sleep', '10000'], network: 'n1', ip: '10.1.0.9' } }),
};
const rm: Operation = {
  name: 'rm',
  act: ({ client }) => client.call('removeContainer', { params: { name: 'c1' }, query: { force: true } }),
};

export const stop: Operation = { name: 'host stop', act: ({ client }) => client.call('stopDaemon', {}) };

/** As if it were killed when it had nothing to do. */
export const kill: Operation = {
  name: 'kill',
  act: async (host) => {
    await host.host.daemon.kill('SIGKILL');
    await host.ended;
  },
};

/** Nothing is left of it. */
export const reset: Operation = {
  name: 'reset',
  act: async (host) => {
    await host.host.exec(['skein', 'reset', '--force']);
    await host.ended;
  },
};

/** Each with what undoes it. */
export const pairs = {
  networks: [
    {
      name: 'network create',
      act: ({ client }) => client.call('createNetwork', { body: { name: 'n3', subnets: [{ subnet: '10.3.0.0/24' }] } }),
    },
    { name: 'network rm', act: ({ client }) => client.call('removeNetwork', { params: { name: 'n3' } }) },
  ],
  attaching: [
    {
      name: 'attach',
      act: ({ client }) =>
        client.call('attach', { body: { network: 'n1', path: adopted, name: 'a1', ip: '10.1.0.8' } }),
    },
    { name: 'detach', act: ({ client }) => client.call('detach', { body: { network: 'n1', path: adopted } }) },
  ],
  exposing: [
    {
      name: 'expose',
      act: ({ client }) => client.call('exposeHost', { params: { name: 'n2' }, body: { ip: '10.2.0.8' } }),
    },
    { name: 'hide', act: ({ client }) => client.call('hideHost', { params: { name: 'n2' }, body: {} }) },
  ],
  running: [run, rm],
  connecting: [
    {
      name: 'connect',
      act: ({ client }) =>
        client.call('connectContainer', { params: { name: 'n2' }, body: { container: 'c1', ip: '10.2.0.9' } }),
    },
    {
      name: 'disconnect',
      act: ({ client }) => client.call('disconnectContainer', { params: { name: 'n2' }, body: { container: 'c1' } }),
    },
  ],
} as const satisfies Record<string, readonly [Operation, Operation]>;
