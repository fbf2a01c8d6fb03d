/**
 * Milliseconds since 1970 as they were when this process began, plus what has passed: the clock may be set, this goes
 * on evenly.
 */
export function steadyNow(): number {
  return performance.timeOrigin + performance.now();
}
