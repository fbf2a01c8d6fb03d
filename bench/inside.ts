import { messageOf } from '../src/lib/errors.ts';
import { Scope } from '../src/lib/scope.ts';
import { benches, isBench } from './benches.ts';
import { formatReport } from './report.ts';

/** What `main.ts` starts in namespaces of its own: one bench, and its report when all is closed again. */
const name = process.argv[2];
const scope = new Scope();
try {
  if (!isBench(name)) throw new Error(`${name} is no bench`);
  const report = await benches[name].bench({ scope, say: (line) => process.stdout.write(`${line}\n`) });
  await scope.close();
  process.stdout.write(`\n${formatReport(report)}`);
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = 1;
  await scope.close();
}
