import { Refusal } from '../lib/errors.ts';

export interface RestartPolicy {
  readonly name: 'no' | 'on-failure' | 'always' | 'unless-stopped';
  readonly most: number;
}

export const restartPolicies = ['no', 'on-failure', 'always', 'unless-stopped'] as const;

/** `no`, `on-failure`, `on-failure:5`, `always`, `unless-stopped`. @throws Refusal 'invalid' with Docker's words */
export function parseRestart(text: string): RestartPolicy {
  const [word = '', count, ...rest] = text.split(':');
  const name = restartPolicies.find((each) => each === word);
  if (rest.length > 0)
    throw new Refusal('invalid', 'invalid restart policy format: restart policy may only contain one ":"');
  if (name === undefined) {
    throw new Refusal(
      'invalid',
      `invalid restart policy: ${JSON.stringify(word.slice(0, 40))}; there are: ${restartPolicies.join(', ')}`,
    );
  }
  if (count === undefined) return { name, most: 0 };
  if (!/^\d{1,7}$/.test(count)) {
    throw new Refusal('invalid', 'invalid restart policy format: maximum retry count must be an integer');
  }
  if (name !== 'on-failure' && Number(count) > 0) {
    throw new Refusal('invalid', `maximum retry count cannot be used with restart policy '${name}'`);
  }
  return { name, most: Number(count) };
}
