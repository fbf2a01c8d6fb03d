import { complain } from './session.ts';

/** Of a label (RFC 1035 §2.3.4). */
const longest = 63;

/** A container may be called what DNS cannot carry, as with Docker. */
export function warnOfUnaskable(name: string | undefined): void {
  if (name?.split('.').every((label) => label.length <= longest) ?? true) return;
  complain(
    `warning: nobody can ask for ${name}: DNS has at most ${longest} characters between dots; aliases and the start of the id are found`,
  );
}
