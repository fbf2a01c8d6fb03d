/** Numbers behind the highest that are still taken, once each: packets overtake each other. */
const width = 1024;

/** Takes each number once, in about the order in which they were given. */
export class ReplayWindow {
  /** Bit `n % width` stands for the number `n` of the last `width` numbers. */
  readonly #seen = new Uint8Array(width);
  #highest = -1;

  /** Whether the number was not taken before; now it is. */
  take(number: number): boolean {
    if (number <= this.#highest - width) return false;
    for (let skipped = Math.max(this.#highest + 1, number - width + 1); skipped <= number; skipped += 1) {
      this.#seen[skipped % width] = 0;
    }
    this.#highest = Math.max(this.#highest, number);
    if (this.#seen[number % width] === 1) return false;
    this.#seen[number % width] = 1;
    return true;
  }
}
