import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { LabHost } from '../src/lab/lab.ts';
import { namespaceOf } from './caller.ts';

/** Sends back what comes to UDP port 7000. */
export const echo = `
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address)).bind(7000, () => console.log('ready'));
`;

/** A Node in namespace `n` of a host, and what it says line by line. */
export function talk(host: LabHost, n: number, script: string, args: readonly string[]) {
  const inside = ['ip', 'netns', 'exec', namespaceOf(n), process.execPath, '-e', script, ...args];
  const child = host.spawn(inside, { stdio: ['pipe', 'pipe', 'inherit'] });
  if (!child.stdout) throw new Error('a child without an output');
  const lines = createInterface({ input: child.stdout });
  return {
    child,
    line: async (): Promise<string> => {
      const [line] = await once(lines, 'line', { signal: AbortSignal.timeout(20_000) });
      return String(line);
    },
  };
}
