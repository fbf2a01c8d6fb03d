import { Command, InvalidArgumentError, Option } from 'commander';
import { closeLab, findLab, type LabState, listLabs, openLab } from '../lab/lab.ts';
import { Refusal } from '../lib/errors.ts';

const defaultName = 'default';

export function labCommand(): Command {
  const lab = new Command('lab').description('a cluster on this machine: hosts in namespaces, an underlay, an etcd');
  lab.addCommand(upCommand());
  lab.addCommand(downCommand());
  lab.addCommand(lsCommand());
  lab.addCommand(execCommand());
  return lab;
}

function upCommand(): Command {
  return new Command('up')
    .description('start a lab; its hosts are h1, h2, …')
    .addOption(nameOption())
    .option('--hosts <count>', 'how many hosts', parseCount, 3)
    .option('--store <url>', "what the hosts use as --cluster-store (default: an etcd of the lab's own)")
    .addOption(new Option('--underlay <family>', 'IP version between the hosts').choices(['4', '6']).default('4'))
    .option('--mtu <bytes>', 'MTU between the hosts', parseCount, 1500)
    .action(async (options: { name: string; hosts: number; store?: string; underlay: '4' | '6'; mtu: number }) => {
      const { name, hosts, mtu, store } = options;
      const underlay = options.underlay === '4' ? 4 : 6;
      const lab = await interruptible((signal) =>
        openLab({ name, hosts, underlay, mtu, tied: false, signal, ...(store !== undefined && { store }) }),
      );
      const which = name === defaultName ? '' : ` --name ${name}`;
      console.log(
        `lab ${name}: ${lab.hosts.map((host) => `${host.name} ${host.address}`).join(', ')}; store ${lab.store}`,
      );
      console.log(`go on with: skein lab exec${which} h1 -- skein host ls`);
      console.log(`end it with: skein lab down${which}`);
    });
}

function downCommand(): Command {
  return new Command('down')
    .description('end a lab and everything in it; also what a crash left of one')
    .addOption(nameOption())
    .action(async ({ name }: { name: string }) => {
      if (!listLabs().some((lab) => lab.name === name)) throw new Refusal('not-found', `there is no lab named ${name}`);
      await closeLab(name);
    });
}

function lsCommand(): Command {
  return new Command('ls').description('list the labs of this machine').action(() => {
    const rows = [['NAME', 'HOSTS', 'UNDERLAY', 'MTU', 'STATE', 'STORE'], ...listLabs().map(rowOf)];
    const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
    for (const row of rows)
      console.log(
        row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('   ')
          .trimEnd(),
      );
  });
}

function rowOf({ name, description, alive }: LabState): readonly string[] {
  const state = alive ? 'up' : 'broken';
  if (!description) return [name, '-', '-', '-', state, '-'];
  const { hosts, underlay, mtu, store } = description;
  return [name, String(hosts), `IPv${underlay}`, String(mtu), state, store];
}

function execCommand(): Command {
  return new Command('exec')
    .description('run a command on a host of a lab')
    .addOption(nameOption())
    .argument('<host>', 'h1, h2, …, or outside')
    .argument('<command...>')
    .passThroughOptions()
    .action(async (host: string, command: readonly string[], { name }: { name: string }) => {
      const lab = findLab(name);
      const place = host === 'outside' ? lab.outside : lab.host(host);
      const child = place.spawn(command, { stdio: 'inherit' });
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
  return new Option('--name <lab>', 'which lab').default(defaultName);
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
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}
