import type { Command } from 'commander';
import { namesOf, settings, settingsFile } from '../model/settings.ts';
import { daemonProgram, execute } from './program.ts';

/** Settings that say where the traces of a daemon are. */
const places = ['clusterStore', 'stateDir', 'runDir'] as const;

/** Executes a program of the daemon's: the daemon may be broken, or gone. */
export function addReset(program: Command): void {
  const command = program
    .command('reset')
    .description('Take every trace of Skein off this host, and give back what it holds in the cluster')
    .option('--force', 'also when containers run: they are killed')
    .option('--config-file <file>', `settings file instead of ${settingsFile}`);
  for (const key of places) command.option(`--${namesOf(key).flag} <${settings[key].value}>`, settings[key].sentence);
  command.action((options: Readonly<Record<string, string | boolean>>) => {
    const { force, configFile } = options;
    const given = places.flatMap((key) =>
      typeof options[key] === 'string' ? [`--${namesOf(key).flag}=${options[key]}`] : [],
    );
    execute(daemonProgram('reset-main'), [
      ...(force === true ? ['--force=yes'] : []),
      ...(typeof configFile === 'string' ? [`--config-file=${configFile}`] : []),
      ...given,
    ]);
  });
}
