/** Why a host is given nothing. Each is a sentence that says what to do, for both ends' logs and status. */
export const reasons = {
  'other-cluster': 'belongs to another cluster: use a token of this one, which `skein token show` prints on its hosts',
  'old-token': 'has an old token, which was replaced: use the one that `skein token show` prints now',
  'wrong-token': 'has a token that is not of this cluster: use the one that `skein token show` prints on its hosts',
  forged:
    'did not prove what it says: its claim was made for another connection, for another host or without the token',
  removed: 'was removed from the cluster: `skein reset` makes it a new host, which can join with a token',
  unknown: 'was not admitted to the cluster: join it with a token, which `skein token show` prints on its hosts',
  'no-admin': 'cannot be admitted now: no admin of the cluster can be reached; it is tried again',
  'too-many': 'tried too often with wrong tokens: it is refused for a minute',
  unproved: 'did not prove that it belongs to the cluster of the token',
  self: 'is the host itself that connects: take its address from the targets',
  protocol: 'said something that is not understood here: is it of another version',
} as const;

export type Reason = keyof typeof reasons;

/** Why there is no link to `who`, for people. */
export function sentence(who: string, { by, reason }: { readonly by: 'us' | 'them'; readonly reason: Reason }): string {
  return by === 'us' ? `${who} ${reasons[reason]}` : `${who} refuses this host: it ${reasons[reason]}`;
}
