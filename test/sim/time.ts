interface Task {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Time that passes from one task to the next, as fast as they are done. */
export class Time {
  #now = 0;
  #order = 0;
  /** A binary heap, the next task first. */
  readonly #tasks: Task[] = [];

  get now(): number {
    return this.#now;
  }

  at(at: number, run: () => void): void {
    this.#order += 1;
    const tasks = this.#tasks;
    tasks.push({ at: Math.max(at, this.#now), order: this.#order, run });
    for (let child = tasks.length - 1; child > 0; ) {
      const parent = (child - 1) >> 1;
      if (!this.#swap(parent, child)) break;
      child = parent;
    }
  }

  /** Does what is due up to a time. */
  run(until: number): void {
    while (this.step(until));
  }

  /** Does what is due next up to a time. @returns whether there was something; otherwise it is that time now */
  step(until: number): boolean {
    const [task] = this.#tasks;
    if (task === undefined || task.at > until) {
      this.#now = Math.max(this.#now, until);
      return false;
    }
    this.#take();
    this.#now = task.at;
    task.run();
    return true;
  }

  #take(): void {
    const tasks = this.#tasks;
    const last = tasks.pop();
    if (last === undefined || tasks.length === 0) return;
    tasks[0] = last;
    for (let parent = 0; ; ) {
      const left = 2 * parent + 1;
      const child = left + 1 < tasks.length && this.#before(left + 1, left) ? left + 1 : left;
      if (child >= tasks.length || !this.#swap(parent, child)) return;
      parent = child;
    }
  }

  /** Puts the earlier one first. */
  #swap(parent: number, child: number): boolean {
    const [one, other] = [this.#tasks[parent], this.#tasks[child]];
    if (one === undefined || other === undefined || !this.#before(child, parent)) return false;
    this.#tasks[parent] = other;
    this.#tasks[child] = one;
    return true;
  }

  #before(one: number, other: number): boolean {
    const [a, b] = [this.#tasks[one], this.#tasks[other]];
    if (a === undefined || b === undefined) return false;
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }
}
