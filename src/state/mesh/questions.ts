import type { Json } from './sheets.ts';

/**
 * What one host asks another directly. Nothing depends on an answer: what counts is said in sheets, and who gets no answer
 * goes on without.
 */
export interface Questions {
  /** @throws Refusal 'unavailable' when the host cannot be reached or does not answer in time */
  ask(host: string, question: Json): Promise<Json>;
}
