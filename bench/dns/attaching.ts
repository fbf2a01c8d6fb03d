import { openLab } from '../../src/lab/lab.ts';
import { nameServerAddresses } from '../../src/model/name-server.ts';
import type { Bench } from '../bench.ts';
import { createNetwork, namespaceOf, openCaller } from '../caller.ts';
import { type Load, loadCommand, parseLoad } from './load.ts';

const rounds = 3;
/** With those that attach as many as the bridge of one network takes. */
export const attachedBefore = 20;
export const attached = 1000;
/** Questions a second. */
export const askedThen = 10_000;
/** Less than it takes until so many have attached, one after the other. */
const seconds = 4;
const network = 'bench';

/** What containers of a host are answered while others attach there, all of it with a daemon as users run it. */
export async function whileAttaching(
  { scope, say }: Parameters<Bench>[0],
  { program, cpu }: { readonly program: string; readonly cpu: number },
): Promise<readonly Load[]> {
  const lab = await openLab({ name: 'bench-dns', hosts: 1, underlay: 4, mtu: 1500, tied: true, store: 'local:' });
  scope.defer(() => lab.close());
  const host = lab.host('h1');
  await createNetwork(host, network);
  const caller = await openCaller(host, {
    ...{ namespaces: attachedBefore + attached, network, connections: 1, exit: false },
    nameOf: (n) => `name${n}`,
  });
  scope.defer(() => caller.close());
  const numbers = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);
  for (const n of numbers(0, attachedBefore)) await caller.attach(n);
  const asked = { cpu, inFlight: 20, rate: askedThen, names: attachedBefore, server: nameServerAddresses[4] };
  const namespaces = numbers(0, attachedBefore).map((n) => `/run/netns/${namespaceOf(n)}`);
  const loads: Load[] = [];
  for (let n = 0; n < rounds; n++) {
    const started = performance.now();
    const attaching = async () => {
      for (const each of numbers(attachedBefore, attached)) await caller.attach(each);
    };
    const [{ stdout }] = await Promise.all([
      host.exec(loadCommand(program, { ...asked, seconds }, namespaces)),
      attaching(),
    ]);
    say(`${attached} endpoints attached one after the other within ${Math.round(performance.now() - started)} ms`);
    loads.push(parseLoad(stdout));
    for (const each of numbers(attachedBefore, attached)) await caller.detach(each);
  }
  return loads;
}
