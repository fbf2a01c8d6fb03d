import { type Command, Option } from 'commander';
import { settingsFile } from '../model/settings.ts';
import { placeOption, placesGiven } from './places.ts';
import { daemonProgram, execute } from './program.ts';

/** Executes a program of the daemon's: the daemon may be what is wrong. */
export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description('Look for what is wrong on this host, and list what Skein changed on it')
    .addOption(new Option('--format <format>', 'json: one finding a line').choices(['json']))
    .option('--config-file <file>', `settings file instead of ${settingsFile}`)
    .addOption(placeOption('stateDir'))
    .addOption(placeOption('runDir'));
  command.action((options: Readonly<Record<string, string>>) => {
    const { format } = options;
    const own = format === undefined ? [] : [`--format=${format}`];
    execute(daemonProgram('doctor-main'), [...own, ...placesGiven(options)]);
  });
}
