import { Refusal } from '../../lib/errors.ts';
import type { Questions } from './questions.ts';
import type { Standing } from './removal.ts';
import type { Json, Members, Sheets } from './sheets.ts';

/**
 * For each key one host is asked first by all who want to change what stands there: its home, chosen by hashing among the
 * hosts that live. So those who can reach each other change one thing one after the other. It remembers for a moment what
 * it let through, until that has come in sheets. Who cannot ask it goes on without; then the rules of merging decide.
 */
export interface HomeNeeds {
  readonly sheets: Sheets;
  readonly members: Members;
  readonly standing: Standing;
  readonly questions: Questions;
}

/** @returns the host at which changes of the key meet */
export function homeOf(key: string, { sheets, members, standing }: Omit<HomeNeeds, 'questions'>): string {
  const admitted = standing.admitted();
  let home = sheets.self;
  let most = weight(key, home);
  for (const { id, state } of members.list()) {
    if (state !== 'alive' || !admitted.has(id)) continue;
    const one = weight(key, id);
    if (one > most || (one === most && id < home)) [home, most] = [id, one];
  }
  return home;
}

/** FNV-1a. */
function weight(key: string, host: string): number {
  let hash = 0x811c9dc5;
  for (const text of [host, key]) {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}

/** The answer of the key's home; undefined when it cannot be asked. `answer` is this host's own, when it is the home. */
export async function askHome(
  key: string,
  question: Json,
  needs: HomeNeeds & { readonly answer: (from: string, question: Json) => Json },
): Promise<Json | undefined> {
  const home = homeOf(key, needs);
  if (home === needs.sheets.self) return needs.answer(home, question);
  try {
    return await needs.questions.ask(home, question);
  } catch (error) {
    if (error instanceof Refusal && error.kind === 'unavailable') return undefined;
    throw error;
  }
}

/** How long what was let through is remembered, in milliseconds: until it has come, or whoever asked has died. */
const longest = 5_000;
/** How much is remembered at most. */
const most = 4_096;

/** What a home let through a moment ago. */
export class Pending<T> {
  readonly #now: () => number;
  readonly #kept = new Map<string, { readonly value: T; readonly until: number }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  get(key: string): T | undefined {
    const found = this.#kept.get(key);
    if (found === undefined || found.until > this.#now()) return found?.value;
    this.#kept.delete(key);
    return undefined;
  }

  set(key: string, value: T): void {
    this.#kept.delete(key);
    this.#kept.set(key, { value, until: this.#now() + longest });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > most && oldest !== undefined) this.#kept.delete(oldest);
  }

  delete(key: string): void {
    this.#kept.delete(key);
  }
}
