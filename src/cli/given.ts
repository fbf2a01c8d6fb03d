import * as v from 'valibot';
import { Refusal } from '../lib/errors.ts';

/** For commander: all that a flag or an argument was given. @throws Refusal 'invalid' naming it and the text that was typed */
export function collectGiven(what: string, schema: v.GenericSchema<string, string>) {
  return (text: string, before: readonly string[] = []): readonly string[] => {
    const result = v.safeParse(schema, text, { abortEarly: true });
    if (result.success) return [...before, result.output];
    throw new Refusal('invalid', `${what} ${JSON.stringify(text.slice(0, 80))} ${result.issues[0].message}`);
  };
}
