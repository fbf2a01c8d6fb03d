import type { KernelError } from '../kernel/kernel-error.ts';
import type { Log } from '../lib/log.ts';
import { isRule } from './nft.ts';
import { idOf, netnsId, type ObjectId } from './objects.ts';
import type { Step } from './plan.ts';

/** So many refusals in one repair, and it is not single things that are wrong. */
const MOST = 64;

/**
 * What the kernel refused in a repair. It is left, with what hangs on it, and the rest is done: what is wrong in one sandbox,
 * or was made wrong there, stays there. The next repair tries it again.
 */
export class Refused {
  readonly #ids = new Map<ObjectId, string>();
  #failures = 0;

  has(id: ObjectId): boolean {
    return this.#ids.has(id);
  }

  /**
   * The first of these steps failed. @returns those that can still be done
   * @throws the error when there are too many
   */
  without(steps: readonly Step[], error: KernelError): readonly Step[] {
    const [failed] = steps;
    if (failed === undefined || ++this.#failures > MOST) throw error;
    const left = new Set(hangingOn(failed, steps));
    for (const { object } of left) this.#ids.set(idOf(object), error.message);
    return steps.filter((step) => !left.has(step));
  }

  /** Says what is refused now and was not before. */
  tell(log: Log, before: Refused | undefined): void {
    for (const [id, error] of this.#ids) {
      if (before === undefined || before.#ids.get(id) !== error)
        log.error('the kernel refuses what should be', { object: id, error });
    }
  }
}

/** The step itself, and what cannot be without what it makes. Pure. */
function hangingOn(failed: Step, steps: readonly Step[]): readonly Step[] {
  // Rules of a namespace are one transaction.
  const isOneWith = ({ object }: Step) =>
    isRule(failed.object) && isRule(object) && object.namespace === failed.object.namespace;
  const missing = new Set<ObjectId>();
  return steps.filter((step) => {
    const { object } = step;
    const needs = [object.parent, netnsId(object.namespace)];
    if (object.kind === 'veth' && object.spec.peer !== undefined) needs.push(netnsId(object.spec.peer.namespace));
    const hangs = step.do !== 'remove' && needs.some((id) => id !== undefined && missing.has(id));
    if (step !== failed && !isOneWith(step) && !hangs) return false;
    if (step.do !== 'remove') missing.add(idOf(object));
    return true;
  });
}
