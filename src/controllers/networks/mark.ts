import type { Network } from '../../model/network.ts';

/** The mark that a removal sets on a network's record before it looks for endpoints. Each removal has its own. */

export function hasMark({ removing }: Network, mark: string): boolean {
  return removing?.mark === mark;
}

export function withoutMark(network: Network): Network {
  const { removing, ...rest } = network;
  return removing === undefined ? network : rest;
}
