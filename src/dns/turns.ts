/** Whose a question is: an asker's limits are for all that ask as it does, a source's for one of them. */
export interface Whose {
  readonly asker: string;
  readonly source: string;
}

export interface TurnLimits {
  /** Under way at once, of all and of one source. */
  readonly underWay: number;
  readonly perSource: number;
  /** Waiting for an answer, under way or not, of all and of one asker. */
  readonly waiting: number;
  readonly perAsker: number;
}

interface TurnsOptions {
  readonly limits: TurnLimits;
  /** Until who waits for its turn is told that it did not come, in milliseconds. */
  readonly deadline: number;
  /** Until who waits for its turn, because all that there are are taken, asks for room. */
  readonly patience: number;
  readonly makeRoom: (asker: string) => void;
}

interface AskerTurns {
  waiting: number;
  underWay: number;
}

/** The questions of one source. */
interface Line {
  readonly whose: Whose;
  readonly asker: AskerTurns;
  underWay: number;
  readonly queue: Set<Turn>;
}

interface Turn {
  readonly begin: () => void;
  readonly giveUp: () => void;
}

/**
 * Lets a number of questions be under way; others wait for their turn, of one source in the order in which they came. So
 * what came together while nobody answered is answered all, and who asks without end holds up itself alone.
 */
export class Turns {
  readonly #options: TurnsOptions;
  readonly #askers = new Map<string, AskerTurns>();
  readonly #lines = new Map<string, Line>();
  /** Those in which somebody waits. */
  readonly #queued = new Set<Line>();
  #waiting = 0;
  #underWay = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  /** @returns undefined, without `work` or before its end, for what is too much or takes too long */
  async run<T>(whose: Whose, work: () => T | Promise<T>): Promise<T | undefined> {
    const { limits } = this.#options;
    const asker = this.#askers.get(whose.asker) ?? { waiting: 0, underWay: 0 };
    if (asker.waiting >= limits.perAsker) return undefined;
    if (this.#waiting >= limits.waiting && !this.#dropOther(asker)) return undefined;
    this.#askers.set(whose.asker, asker);
    const key = `${whose.asker} ${whose.source}`;
    const line = this.#lines.get(key) ?? { whose, asker, underWay: 0, queue: new Set() };
    this.#lines.set(key, line);
    asker.waiting++;
    this.#waiting++;
    try {
      if (line.queue.size > 0 || line.underWay >= limits.perSource || this.#underWay >= limits.underWay) {
        return await this.#queue(line, work);
      }
      this.#take(line);
      return await this.#work(line, work);
    } finally {
      asker.waiting--;
      this.#waiting--;
      this.#forget(key, line);
    }
  }

  #queue<T>(line: Line, work: () => T | Promise<T>): Promise<T | undefined> {
    const { deadline, patience, makeRoom } = this.#options;
    const { promise, resolve } = Promise.withResolvers<T | undefined>();
    const leave = () => {
      line.queue.delete(turn);
      if (line.queue.size === 0) this.#queued.delete(line);
      clearTimeout(impatient);
    };
    const turn: Turn = {
      begin: () => {
        leave();
        this.#take(line);
        resolve(this.#work(line, work));
      },
      giveUp: () => {
        leave();
        over.resolve(undefined);
      },
    };
    const over = Promise.withResolvers<undefined>();
    const late = setTimeout(turn.giveUp, deadline);
    const impatient = setTimeout(() => {
      if (this.#underWay >= this.#options.limits.underWay) makeRoom(line.whose.asker);
    }, patience);
    line.queue.add(turn);
    this.#queued.add(line);
    return Promise.race([over.promise, promise]).finally(() => clearTimeout(late));
  }

  #take(line: Line): void {
    line.underWay++;
    line.asker.underWay++;
    this.#underWay++;
  }

  /** It is under way until its end, also when nobody waits for that any more. */
  async #work<T>(line: Line, work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } finally {
      line.underWay--;
      line.asker.underWay--;
      this.#underWay--;
      this.#forget(`${line.whose.asker} ${line.whose.source}`, line);
      this.#next();
    }
  }

  /** Whoever has least under way comes first. */
  #next(): void {
    let best: Line | undefined;
    for (const line of this.#queued) {
      if (line.underWay >= this.#options.limits.perSource) continue;
      const by = best === undefined ? -1 : line.asker.underWay - best.asker.underWay || line.underWay - best.underWay;
      if (by < 0) best = line;
    }
    const [turn] = best?.queue ?? [];
    turn?.begin();
  }

  /** Where somebody has more that waits than `asker`, it loses the oldest of what has not begun. */
  #dropOther(asker: AskerTurns): boolean {
    let most: Line | undefined;
    for (const line of this.#queued) if (line.asker.waiting > (most?.asker.waiting ?? asker.waiting + 1)) most = line;
    const [turn] = most?.queue ?? [];
    turn?.giveUp();
    return turn !== undefined;
  }

  #forget(key: string, line: Line): void {
    const { asker, underWay, queue } = line;
    if (underWay === 0 && queue.size === 0 && this.#lines.get(key) === line) this.#lines.delete(key);
    if (asker.waiting === 0 && asker.underWay === 0 && this.#askers.get(line.whose.asker) === asker) {
      this.#askers.delete(line.whose.asker);
    }
  }
}
