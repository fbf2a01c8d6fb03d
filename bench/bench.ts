import type { Scope } from '../src/lib/scope.ts';
import type { Report } from './report.ts';

/** One bench: measures, and says on the way what it does. What it opens is closed by `scope`, also when it fails. */
export type Bench = (running: { readonly scope: Scope; readonly say: (line: string) => void }) => Promise<Report>;
