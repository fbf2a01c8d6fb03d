import { randomInt } from 'node:crypto';

const adjectives =
  'amber brisk calm deft even fair fine glad keen kind light lucid mild neat plain quick quiet ready sound spare steady sunny terse warm'.split(
    ' ',
  );
const nouns =
  'bobbin braid cable cord distaff felt fibre flax heddle hemp knot lace linen loom needle ravel reel selvage shuttle spindle strand thread twill weft'.split(
    ' ',
  );

/** A name for a container that was given none, as Docker's `adjective_noun`; a number behind it when many are taken. */
export function chooseName(taken: (name: string) => boolean, chance: (below: number) => number = randomInt): string {
  for (let attempt = 0; ; attempt += 1) {
    const name = `${adjectives[chance(adjectives.length)]}_${nouns[chance(nouns.length)]}`;
    const tried = attempt < 8 ? name : `${name}${chance(10 ** Math.min(attempt - 7, 9))}`;
    if (!taken(tried)) return tried;
  }
}
