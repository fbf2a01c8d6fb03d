import { formatAddress, parseAddress } from '../../lib/prefix.ts';
import { familyOf, STRANGERS } from '../guard/guard.ts';
import { TABLE } from '../nft.ts';
import { HOST } from '../objects.ts';
import type { Places } from '../places.ts';

/** Who lately sent a probe to this host from an address that is no peer's. */
export interface Stranger {
  /** Where its packets seem to come from. */
  readonly source: string;
  /** Of its probes. */
  readonly mac: string;
}

/** What the guard has noted; of this host's family. @throws KernelError */
export function strangers(places: Places, data: string): readonly Stranger[] {
  const listed = places.nft(HOST).list(`set ${familyOf(data)} ${TABLE} ${STRANGERS}`);
  return (listed?.sets ?? []).flatMap(({ elements }) => elements.flatMap(parseStranger));
}

/** `192.0.2.1 . 2485355531485`; none of what is something else. */
export function parseStranger(element: string): readonly Stranger[] {
  const [, source, number] = /^([0-9a-f.:]{2,45}) \. (\d{1,15})$/.exec(element) ?? [];
  if (source === undefined || Number(number) >= 2 ** 48) return [];
  const digits = Number(number).toString(16).padStart(12, '0');
  try {
    return [{ source: formatAddress(parseAddress(source)), mac: (digits.match(/../g) ?? []).join(':') }];
  } catch {
    return [];
  }
}
