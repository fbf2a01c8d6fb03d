import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** What became of one test. */
export interface Result {
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly reason?: string;
  readonly error?: string;
}

/** What a test said of itself with `t.diagnostic`: what it measured, what it counted. */
export interface Remark {
  readonly name: string;
  readonly remark: string;
}

/** One line of JSON a test and a remark, for `scripts/test.ts`; node asks for a default export. */
export default async function* lines(source: AsyncIterable<TestEvent>): AsyncIterable<string> {
  let last: { readonly name: string; readonly place: string } | undefined;
  for await (const event of source) {
    const result = resultOf(event);
    if (result) yield `${JSON.stringify(result)}\n`;
    if (event.type === 'test:pass' || event.type === 'test:fail')
      last = { name: event.data.name, place: placeOf(event.data) };
    // A test's remarks follow its end. The runner's own, its totals, are those of the file.
    else if (event.type === 'test:diagnostic' && last?.place === placeOf(event.data)) {
      const remark: Remark = { name: last.name, remark: event.data.message };
      yield `${JSON.stringify(remark)}\n`;
    }
  }
}

function placeOf({ nesting, line, column }: { nesting: number; line?: number; column?: number }): string {
  return `${nesting} ${line} ${column}`;
}

/** Suites are not counted, their tests are; a suite's own failure (a hook's) is. */
function resultOf(event: TestEvent): Result | undefined {
  if (event.type === 'test:fail') {
    const { name, details } = event.data;
    const ofItsTests = 'failureType' in details.error && details.error.failureType === 'subtestsFailed';
    if (details.type === 'suite' && ofItsTests) return undefined;
    return { name, outcome: 'failed', error: inspect(details.error.cause ?? details.error) };
  }
  if (event.type !== 'test:pass' || event.data.details.type === 'suite') return undefined;
  const { name, skip, todo } = event.data;
  const reason = skip ?? todo;
  if (reason === undefined) return { name, outcome: 'passed' };
  return { name, outcome: 'skipped', ...(typeof reason === 'string' && { reason }) };
}
