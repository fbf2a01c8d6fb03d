import { type Command, InvalidArgumentError, Option } from 'commander';
import { defaultLab } from '../lab/folders.ts';
import { self } from '../lab/home.ts';
import { closeLab, findLab, type LabState, listLabs, openLab } from '../lab/lab.ts';
import { becomeRoot } from '../lab/rootless.ts';
import { Refusal } from '../lib/errors.ts';
import { printListing } from './listing.ts';
import { withProgress } from './progress.ts';
import { print } from './session.ts';

export function addLab(program: Command): void {
  const lab = program.command('lab').description('A cluster on this machine: hosts, an underlay, an etcd');
  addUp(lab);
  addDown(lab);
  addLs(lab);
  addExec(lab);
}

function addUp(lab: Command): void {
  lab
    .command('up')
    .description('Start a lab, whose hosts are h1, h2 and so on')
    .addOption(nameOption())
    .option('--hosts <count>', 'how many hosts', parseCount, 3)
    .option('--subnets <count>', 'over how many subnets they are spread, a router between', parseCount, 1)
    .option(
      '--store <url>',
      "what the hosts take as --cluster-store, or etcd for one of the lab's own (default: no store)",
    )
    .addOption(new Option('--underlay <family>', 'IP version between the hosts').choices(['4', '6']).default('4'))
    .option('--mtu <bytes>', 'MTU between the hosts', parseCount, 1500)
    .action(
      async (options: {
        name: string;
        hosts: number;
        subnets: number;
        store?: string;
        underlay: '4' | '6';
        mtu: number;
      }) => {
        const { name, hosts, subnets, mtu, store } = options;
        const underlay = options.underlay === '4' ? 4 : 6;
        becomeRoot();
        const opened = await interruptible((signal) =>
          withProgress(
            `starting lab ${name}`,
            openLab({
              name,
              hosts,
              subnets,
              underlay,
              mtu,
              tied: false,
              signal,
              ...(store !== undefined && { store }),
            }),
          ),
        );
        const which = name === defaultLab ? '' : ` --name ${name}`;
        const list = opened.hosts.map((host) => `${host.name} ${host.address}`).join(', ');
        print(`lab ${name}: ${list}; ${opened.store === 'mesh:' ? 'no store' : `store ${opened.store}`}\n`);
        print(`go on with: ${self} lab exec${which} h1 -- skein host ls\n`);
        print(`end it with: ${self} lab down${which}\n`);
      },
    );
}

function addDown(lab: Command): void {
  lab
    .command('down')
    .description('End a lab and everything in it; also what a crash left of one')
    .addOption(nameOption())
    .action(async ({ name }: { name: string }) => {
      if (!listLabs().some((one) => one.name === name)) throw new Refusal('not-found', `there is no lab named ${name}`);
      await withProgress(`ending lab ${name}`, closeLab(name));
    });
}

const headers = {
  Name: 'NAME',
  Hosts: 'HOSTS',
  Subnets: 'SUBNETS',
  Underlay: 'UNDERLAY',
  MTU: 'MTU',
  State: 'STATE',
  Store: 'STORE',
};

function addLs(lab: Command): void {
  lab
    .command('ls')
    .description('List the labs of this machine')
    .option('-q, --quiet', 'only names')
    .option('--format <template>', 'json, table, or a template such as {{.Name}}')
    .action(async (options: { quiet?: boolean; format?: string }) => {
      const columns = ['Name', 'Hosts', 'Subnets', 'Underlay', 'MTU', 'State', 'Store'] as const;
      await printListing({ rows: listLabs().map(rowOf), headers, columns, id: 'Name' }, options);
    });
}

function rowOf({ name, description, alive }: LabState) {
  const State = alive ? 'up' : 'broken';
  if (!description) return { Name: name, Hosts: '-', Subnets: '-', Underlay: '-', MTU: '-', State, Store: '-' };
  const { hosts, subnets, underlay, mtu, store } = description;
  return {
    ...{ Name: name, Hosts: String(hosts), Subnets: String(subnets), Underlay: `IPv${underlay}`, MTU: String(mtu) },
    ...{ State, Store: store },
  };
}

function addExec(lab: Command): void {
  lab
    .command('exec')
    .description('Run a command on a host of a lab')
    .addOption(nameOption())
    .argument('<host>', 'h1, h2, …, or outside')
    .argument('<command...>')
    .passThroughOptions()
    .action(async (host: string, command: readonly string[], { name }: { name: string }) => {
      const found = findLab(name);
      const place = host === 'outside' ? found.outside : found.host(host);
      // Options pass through, and with them what parts them from ours.
      const child = place.spawn(command[0] === '--' ? command.slice(1) : command, { stdio: 'inherit' });
      // The terminal tells both; how the command takes it is what counts.
      process.on('SIGINT', () => {});
      process.on('SIGTERM', () => child.kill('SIGTERM'));
      process.exitCode = await new Promise<number>((resolve, reject) => {
        child.once('error', reject);
        child.once('exit', (code) => resolve(code ?? 137));
      });
    });
}

function nameOption(): Option {
  return new Option('--name <lab>', 'which lab').default(defaultLab);
}

/** @throws InvalidArgumentError */
function parseCount(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('it is not a number');
  return Number(text);
}

/** Ctrl-C ends what is being made, and then this. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = () => controller.abort(new Refusal('unavailable', 'interrupted'));
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, interrupt);
  try {
    return await work(controller.signal);
  } catch (error) {
    // What failed because of it is not what people want to hear.
    controller.signal.throwIfAborted();
    throw error;
  } finally {
    // Once interrupted, all that is left is to say so, which the next Ctrl-C does not cut off.
    if (!controller.signal.aborted) for (const signal of signals) process.off(signal, interrupt);
  }
}
