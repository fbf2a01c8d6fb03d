import { Refusal } from '../errors.ts';

const longestQuote = 80;

/** As Docker and Go say it: line and column of what is wrong, counted from 1 and from 0. */
export function refuseAt(template: string, at: number, message: string): Refusal {
  const before = template.slice(0, at);
  const line = before.split('\n').length;
  const column = at - (before.lastIndexOf('\n') + 1);
  return new Refusal('invalid', `template parsing error: template: :${line}:${column}: ${message}`);
}

export function shorten(text: string): string {
  return text.length > longestQuote ? `${text.slice(0, longestQuote)}…` : text;
}
