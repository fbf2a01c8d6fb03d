import { Refusal } from '../lib/errors.ts';
import type { NamedPort } from '../model/named-port.ts';

const form = /^(?:([a-zA-Z0-9](?:[a-zA-Z0-9-]{0,60}[a-zA-Z0-9])?):)?(\d{1,5})(?:-(\d{1,5}))?(?:\/(.*))?$/;
const protocols = ['tcp', 'udp', 'sctp'] as const;
const most = 64;

/**
 * `[NAME:]PORT[/PROTO]` or Docker's `FIRST-LAST[/PROTO]`; a port is called by its number unless it has a name.
 * @throws Refusal 'invalid'
 */
export function parsePorts(text: string): readonly NamedPort[] {
  const [, name, digits, end, word = 'tcp'] = form.exec(text) ?? [];
  const protocol = protocols.find((each) => each === word.toLowerCase());
  const first = Number(digits);
  const last = Number(end ?? digits);
  if (protocol === undefined || !(first >= 1 && first <= last && last <= 65_535) || (end && name) !== undefined) {
    throw new Refusal(
      'invalid',
      `invalid exposed port ${JSON.stringify(text.slice(0, 80))}: it is [NAME:]PORT[/PROTO] or FIRST-LAST[/PROTO], with tcp, udp or sctp`,
    );
  }
  if (last - first >= most) throw new Refusal('invalid', `invalid exposed port ${text}: these are more than ${most}`);
  return Array.from({ length: last - first + 1 }, (_, i) => ({
    ...{ name: name ?? String(first + i), port: first + i, protocol },
  }));
}

/** For commander: those of all flags. */
export function collectPorts(text: string, before: readonly NamedPort[] = []): readonly NamedPort[] {
  return [...before, ...parsePorts(text)];
}
