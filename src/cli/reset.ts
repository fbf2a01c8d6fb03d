import type { Command } from 'commander';
import { settingsFile } from '../model/settings.ts';
import { placeOption, placesGiven } from './places.ts';
import { daemonProgram, execute } from './program.ts';

/** Executes a program of the daemon's: the daemon may be broken, or gone. */
export function addReset(program: Command): void {
  const command = program
    .command('reset')
    .description('Take every trace of Skein off this host, and give back what it holds in the cluster')
    .option('--force', 'also when containers run: they are killed')
    .option('--config-file <file>', `settings file instead of ${settingsFile}`)
    .addOption(placeOption('clusterStore'))
    .addOption(placeOption('clusterStoreOpt'))
    .addOption(placeOption('stateDir'))
    .addOption(placeOption('runDir'));
  command.action((options: Readonly<Record<string, unknown>>) => {
    const own = options['force'] === true ? ['--force=yes'] : [];
    execute(daemonProgram('reset-main'), [...own, ...placesGiven(options)]);
  });
}
