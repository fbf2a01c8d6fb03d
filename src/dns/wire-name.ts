/**
 * A domain name as messages have it (RFC 1035 §3.1): each label behind its length, one character a byte, ASCII letters in
 * lower case (RFC 4343), without the root's zero at the end. So that the end of a question is a slice of it, and equal
 * names are equal texts, whatever bytes a label has.
 */
export type WireName = string;

export const longestLabel = 63;
/** RFC 1035 §2.3.4, without the root's zero. */
export const longestName = 254;

/** Of `web.demo`, with or without the dot at its end; undefined when no message can have it. */
export function toWireName(text: string): WireName | undefined {
  if (!/^[\x21-\x7e]+$/.test(text)) return undefined;
  const labels = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase().split('.');
  if (labels.some((label) => label === '' || label.length > longestLabel)) return undefined;
  const name = labels.map((label) => String.fromCharCode(label.length) + label).join('');
  return name.length > longestName ? undefined : name;
}

/** For people to read: what is no letter, digit, `-` or `_` is escaped (RFC 4343 §2.1). */
export function formatWireName(name: WireName): string {
  const labels: string[] = [];
  for (let at = 0; at < name.length; at += 1 + name.charCodeAt(at)) {
    const label = name.slice(at + 1, at + 1 + name.charCodeAt(at));
    labels.push(label.replace(/[^\w-]/g, (byte) => `\\${String(byte.charCodeAt(0)).padStart(3, '0')}`));
  }
  return labels.join('.');
}

/** Where `suffix` begins in `name`, if its labels are the last ones of `name`. */
export function suffixStart(name: WireName, suffix: WireName): number | undefined {
  if (!name.endsWith(suffix)) return undefined;
  const start = name.length - suffix.length;
  let at = 0;
  while (at < start) at += 1 + name.charCodeAt(at);
  return at === start ? start : undefined;
}

/** How many characters the first label takes, its length included; 0 of no label. */
export function firstLabel(name: WireName): number {
  return name === '' ? 0 : 1 + name.charCodeAt(0);
}
