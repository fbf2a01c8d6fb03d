/**
 * What holds has `close()`. A scope collects the closings of one start-up and runs all of them, newest first, also after
 * half a start. Closing twice is the same as closing once; a late caller waits for the first.
 */
export class Scope {
  readonly #closings: (() => Promise<void> | void)[] = [];
  #closed: Promise<void> | undefined;

  defer(closing: () => Promise<void> | void): void {
    this.#closings.push(closing);
  }

  close(): Promise<void> {
    this.#closed ??= this.#run();
    return this.#closed;
  }

  async #run(): Promise<void> {
    const failures: unknown[] = [];
    for (const closing of this.#closings.toReversed()) {
      try {
        await closing();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, 'several parts could not be closed');
  }
}
