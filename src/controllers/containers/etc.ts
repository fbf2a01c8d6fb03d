/** What stands in a container's own files in `/etc`, and the environment of its command. Pure. */

/** As Docker's. `addresses` without prefix length. */
export function formatHosts(hostname: string, addresses: readonly string[]): string {
  const [name] = hostname.split('.');
  const names = name === hostname ? hostname : `${hostname} ${name}`;
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'ff00::0\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
    ...addresses.map((address) => `${address}\t${names}`),
    '',
  ].join('\n');
}

/** Docker's defaults, then what was asked for. */
export function formEnvironment(
  asked: readonly string[],
  { hostname, tty }: { hostname: string; tty: boolean },
): readonly string[] {
  const env = new Map([
    ['PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
    ['HOSTNAME', hostname],
    ...(tty ? [['TERM', 'xterm'] as const] : []),
    ['HOME', '/root'],
  ]);
  for (const word of asked) {
    const equals = word.indexOf('=');
    env.set(word.slice(0, equals), word.slice(equals + 1));
  }
  return Array.from(env, ([name, value]) => `${name}=${value}`);
}
