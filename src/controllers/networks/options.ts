import { Refusal } from '../../lib/errors.ts';

/** The driver's options, by Docker's names. */
export const mtuOption = 'com.docker.network.driver.mtu';

export interface NetworkOptions {
  /** What the user wants for it, whatever the paths would carry. */
  readonly mtu?: number;
}

/** @throws Refusal 'unsupported' for an option that does not work, never ignored; 'invalid' for a value that cannot be */
export function parseOptions(options: Readonly<Record<string, string>>): NetworkOptions {
  const unknown = Object.keys(options).find((name) => name !== mtuOption);
  if (unknown !== undefined) {
    throw new Refusal('unsupported', `network option ${unknown.slice(0, 80)} does not work; there is: ${mtuOption}`);
  }
  const mtu = options[mtuOption];
  if (mtu === undefined) return {};
  const bytes = /^[1-9]\d{0,4}$/.test(mtu) ? Number(mtu) : 0;
  if (bytes < 576 || bytes > 65535) {
    throw new Refusal('invalid', `${mtuOption}=${mtu.slice(0, 80)}: give a number of bytes from 576 to 65535`);
  }
  return { mtu: bytes };
}
