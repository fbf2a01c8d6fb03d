import { fileURLToPath } from 'node:url';
import { openDataplane } from './open.ts';
import { type Call, toWire } from './protocol.ts';

/** A data plane that is told what to do by the process that forked it. */
const log = (level: string) => (message: string, fields?: object) =>
  process.env['TESTBED_LOG'] && console.error(level, message, fields);
const dataplane = await openDataplane({
  state: '/run/state',
  holder: fileURLToPath(new URL('../../build/skein-holder', import.meta.url)),
  log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
});

process.on('message', ({ id, call: [name, argument] }: { readonly id: number; readonly call: Call }) => {
  const method = Reflect.get(dataplane, name) as (argument: unknown) => Promise<unknown>;
  method(argument).then(
    (value) => process.send?.({ id, value }),
    (error: unknown) => process.send?.({ id, error: toWire(error) }),
  );
});
process.send?.('ready');
