/** `native/dns-load.c`: questions for A records of `name<N>.skein.local`. */

export interface Asked {
  readonly cpu: number;
  readonly seconds: number;
  readonly inFlight: number;
  /** Questions a second; 0 for as many as are answered. */
  readonly rate: number;
  /** Those below it are asked for. */
  readonly names: number;
  readonly server: string;
}

/** What was answered. */
export interface Load {
  readonly qps: number;
  readonly p99_us: number;
  /** The share of the time for which who asks did not run. */
  readonly stood: number;
  readonly lost: number;
}

export function loadCommand(program: string, asked: Asked, namespaces: readonly string[]): readonly string[] {
  const { cpu, seconds, inFlight, rate, names, server } = asked;
  return [program, ...[cpu, seconds, inFlight, rate, names].map(String), server, ...namespaces];
}

export function parseLoad(stdout: string): Load {
  const found: Load & { readonly wrong: number } = JSON.parse(stdout);
  if (found.wrong > 0) throw new Error(`${found.wrong} answers were wrong`);
  return found;
}
