import type { Message, Standing } from '../beginning.ts';
import type { Cluster } from './charter.ts';
import type { Body } from './messages.ts';

interface Outgoing {
  readonly to: readonly string[];
  readonly body: Body;
}

/** What has to be on disk before anything is said that follows from it. */
export interface State {
  readonly standing: Standing;
  /** Of the cluster that this host belongs to. */
  readonly charter: Cluster | undefined;
  /** How often it changed where hosts are. */
  readonly changes: number;
}

/** Letters that wait for the disk; more are lost, as on the way. */
const mostPending = 1024;

export interface OutboxNeeds {
  readonly save: (state: State) => Promise<void>;
  readonly send: (to: readonly string[], body: Body) => void;
  /** It is on disk, and what followed from it was said. */
  readonly kept: (state: State) => void;
  /** It is not, and what followed from it will not be said. */
  readonly refused: (error: unknown) => void;
}

/** Says things when what they follow from is on disk. */
export class Outbox {
  readonly #needs: OutboxNeeds;
  #letters: Outgoing[] = [];
  #saved: State | undefined;
  #saving = false;
  /** How things stood when somebody last had something to say while the disk was busy. */
  #next: State | undefined;
  #closed = false;

  constructor(needs: OutboxNeeds) {
    this.#needs = needs;
  }

  push(...letters: readonly Outgoing[]): void {
    this.#letters.push(...letters);
    this.#letters.splice(0, Math.max(0, this.#letters.length - mostPending));
  }

  /** Keeps how things stand now, if that is not kept, and then says what there is to say. One save at a time. */
  flush(state: State): void {
    if (this.#closed) return;
    this.#next = this.#saving ? state : undefined;
    if (this.#saving) return;
    const letters = this.#letters;
    this.#letters = [];
    const { standing, charter, changes } = this.#saved ?? {};
    if (state.standing === standing && state.charter === charter && state.changes === changes) {
      this.#say(state, letters);
      return;
    }
    this.#saving = true;
    this.#needs.save(state).then(
      () => {
        this.#saving = false;
        this.#saved = state;
        this.#say(state, letters);
        if (this.#next !== undefined) this.flush(this.#next);
      },
      (error: unknown) => {
        this.#saving = false;
        this.#needs.refused(error);
      },
    );
  }

  /** Says and keeps nothing more. */
  close(): void {
    this.#closed = true;
  }

  #say(state: State, letters: readonly Outgoing[]): void {
    if (this.#closed) return;
    for (const { to, body } of letters) this.#needs.send(to, body);
    this.#needs.kept(state);
  }
}

/** What is said to several goes out once. */
export function grouped(letters: readonly { readonly to: string; readonly message: Message }[]): readonly Outgoing[] {
  const groups = new Map<string, { to: string[]; body: Body }>();
  for (const { to, message } of letters) {
    const text = JSON.stringify(message);
    const group = groups.get(text);
    if (group === undefined) groups.set(text, { to: [to], body: { t: 'beginning', message } });
    else group.to.push(to);
  }
  return [...groups.values()];
}
