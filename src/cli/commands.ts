import { Command } from 'commander';
import { examples } from './examples.ts';

/**
 * The command line. Each command is a file that is read only when it is used, so that a short one answers quickly.
 * `failure` is the exit code of what goes wrong before the container's own, 1 where nothing else is said, as Docker's.
 */
interface Entry {
  readonly sentence: string;
  readonly load: () => Promise<(program: Command) => void>;
  readonly failure?: number;
  /** Weave's name for it. */
  readonly alias?: string;
}

export const commands: Readonly<Record<string, Entry>> = {
  launch: { sentence: 'Start the daemon on this host', load: async () => (await import('./launch.ts')).addLaunch },
  stop: { sentence: 'End containers, or the daemon', load: async () => (await import('./stop.ts')).addStop },
  doctor: {
    sentence: 'Look for what is wrong on this host',
    load: async () => (await import('./doctor.ts')).addDoctor,
  },
  reset: {
    sentence: 'Take every trace of Skein off this host',
    load: async () => (await import('./reset.ts')).addReset,
  },
  status: {
    sentence: 'Show how this host and its cluster do',
    load: async () => (await import('./status.ts')).addStatus,
  },
  report: {
    sentence: 'Show all that this host knows, as JSON',
    load: async () => (await import('./report.ts')).addReport,
  },
  version: { sentence: 'Show versions', load: async () => (await import('./version.ts')).addVersion },
  host: { sentence: 'Hosts of the cluster', load: async () => (await import('./host.ts')).addHost },
  token: {
    sentence: 'What lets hosts into a cluster without a store',
    load: async () => (await import('./mesh/token.ts')).addToken,
  },
  connect: {
    sentence: 'Connect to other hosts of a cluster without a store',
    load: async () => (await import('./mesh/connect.ts')).addConnect,
  },
  disconnect: {
    sentence: 'Dial hosts no more',
    load: async () => (await import('./mesh/connect.ts')).addDisconnect,
    alias: 'forget',
  },
  network: { sentence: 'Networks of the cluster', load: async () => (await import('./network/network.ts')).addNetwork },
  dns: {
    sentence: 'Names of containers, and those given by hand',
    load: async () => (await import('./dns/dns.ts')).addDns,
  },
  inspect: {
    sentence: 'Show containers and networks as JSON',
    load: async () => (await import('./inspect.ts')).addInspect,
  },
  run: {
    sentence: 'Run a command in a container of its own',
    load: async () => (await import('./run.ts')).addRun,
    failure: 125,
  },
  ps: { sentence: 'List containers of this host', load: async () => (await import('./ps.ts')).addPs },
  exec: { sentence: 'Run a further command in a container', load: async () => (await import('./exec.ts')).addExec },
  logs: { sentence: 'Show what a container wrote', load: async () => (await import('./logs.ts')).addLogs },
  start: { sentence: 'Start containers that have ended', load: async () => (await import('./start.ts')).addStart },
  restart: { sentence: 'End and start containers', load: async () => (await import('./start.ts')).addRestart },
  kill: { sentence: 'Send a signal to containers', load: async () => (await import('./kill.ts')).addKill },
  rm: { sentence: 'Remove containers', load: async () => (await import('./rm.ts')).addRm },
  attach: {
    sentence: 'Put a network namespace or a container on a network',
    load: async () => (await import('./attach.ts')).addAttach,
  },
  detach: { sentence: 'Take it off again', load: async () => (await import('./attach.ts')).addDetach },
  expose: {
    sentence: 'Put this host itself on a network',
    load: async () => (await import('./expose.ts')).addExpose,
  },
  hide: { sentence: 'Take this host off a network again', load: async () => (await import('./expose.ts')).addHide },
  lab: { sentence: 'A cluster on this machine', load: async () => (await import('./lab.ts')).addLab },
  completion: {
    sentence: 'Complete commands, flags and names in a shell',
    load: async () => (await import('./completion.ts')).addCompletion,
  },
  help: {
    sentence: 'Show the help of a command',
    load: async () => {
      const { addHelp } = await import('./help.ts');
      return (program) => addHelp(program, openProgram);
    },
  },
  demo: { sentence: 'See two hosts and one network at work', load: async () => (await import('./demo.ts')).addDemo },
};

/** The command line, whole for the commands that `isUsed` names; of the others the sentences. */
export async function openProgram(isUsed: (name: string) => boolean): Promise<Command> {
  const program = new Command('skein')
    .description('Joins containers on many hosts into shared networks')
    .option(
      '-H, --host <socket>',
      "daemon to speak to: unix:///PATH or a lab's host (SKEIN_HOST, unix:///run/skein/skein.sock)",
    )
    .helpOption('--help', 'show this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'skein: ')) });
  for (const [name, { sentence, load, alias }] of Object.entries(commands)) {
    if (isUsed(name) || (alias !== undefined && isUsed(alias))) (await load())(program);
    else program.command(name).description(sentence);
  }
  settle(program, 'skein');
  return program;
}

function settle(command: Command, name: string): void {
  const example = examples[name];
  if (example !== undefined) command.addHelpText('after', `\nExample:\n  ${example}`);
  for (const inner of command.commands) {
    inner.copyInheritedSettings(command).helpOption('--help', 'show this help').helpCommand(false);
    settle(inner, `${name} ${inner.name()}`);
  }
}
