import type { Command } from 'commander';
import { clientOf, formatBy, print } from './session.ts';

export function addReport(program: Command): void {
  const command = program
    .command('report')
    .description('Show all that this host knows, as JSON: for who looks for a fault')
    .option('-f, --format <template>', 'a template such as {{json .mesh.connections}}');
  command.action(async ({ format }: { format?: string }) => {
    const report = await clientOf(command).call('getReport', {});
    print(`${format === undefined ? JSON.stringify(report, undefined, 4) : await formatBy(format, report)}\n`);
  });
}
