import { constants } from 'node:os';
import { Refusal } from '../../lib/errors.ts';

/** As Docker takes it: `SIGTERM`, `term`, `15`, `RTMIN+3`. @throws Refusal 'invalid' */
export function parseSignal(text: string): number {
  const number = /^\d{1,2}$/.test(text) ? Number(text) : numberOf(text.toUpperCase().replace(/^SIG/, ''));
  if (number === undefined || number < 1 || number > 64) {
    throw new Refusal('invalid', `invalid signal: ${text.slice(0, 32)}`);
  }
  return number;
}

function numberOf(name: string): number | undefined {
  const realTime = /^RT(?:MIN(?:\+(\d{1,2}))?|MAX(?:-(\d{1,2}))?)$/.exec(name);
  if (realTime) {
    const number = name.startsWith('RTMIN') ? 34 + Number(realTime[1] ?? 0) : 64 - Number(realTime[2] ?? 0);
    return number >= 34 && number <= 64 ? number : undefined;
  }
  return Object.entries(constants.signals).find(([known]) => known === `SIG${name}`)?.[1];
}
