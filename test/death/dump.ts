import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { LabHost } from '../../src/lab/lab.ts';

/**
 * All that a host has, as other programs than ours see it: what the kernel holds in every network namespace of it, pins,
 * mounts, processes, how much is held for a daemon, files, every key of the store, every row of the journal. A line a
 * thing, behind where it was found.
 */
export async function dump(host: LabHost, store: string): Promise<readonly string[]> {
  const endpoint = store.replace(/^etcd:/, 'http:');
  const { stdout } = await host.exec(['sh', '-s', endpoint], { input: ofHost });
  return [...linesOf(stdout), ...rowsOf(join(host.folder, 'run/copied'))];
}

/** Of the network namespace that it runs in; the name of which is its argument. */
const ofNamespace = `
echo "@ $1 ip"
for show in 'link' 'addr' 'route show table all' 'neigh show nud permanent' 'neigh show nud noarp' 'neigh show proxy' 'rule'
do echo "$show"; done | ip -d -o -batch -
for show in 'route show table all' 'rule'; do echo "$show"; done | ip -6 -o -batch -
echo "@ $1 fdb"; bridge fdb show
echo "@ $1 nft"; nft -s list ruleset
echo "@ $1 tc"
for device in $(ip -o link show | sed 's/^[0-9]*: \\([^:@]*\\).*/\\1/'); do
  echo "qdisc show dev $device"; echo "filter show dev $device ingress"
done | tc -force -batch - 2>/dev/null
echo "@ $1 sockets"; ss -Hltun | awk '{ print $1, $2, $5 }'
echo "@ $1 sysctl"; grep -rsH . /proc/sys/net
true
`;

const ofHost = `
mkdir -p /run/copied; rm -f /run/copied/*; : >/run/seen
cat >/run/namespace.sh <<'EOF'
${ofNamespace}
EOF
sh /run/namespace.sh host
for path in /run/netns/* /run/skein/netns/*; do
  if [ ! -e "$path" ] || [ -L "$path" ]; then continue; fi
  inode=$(stat -Lc %i "$path")
  if first=$(grep "^$inode " /run/seen); then echo "@ $path is"; echo "\${first#* }"; continue; fi
  echo "$inode $path" >>/run/seen
  nsenter --net="$path" sh /run/namespace.sh "$path"
done
echo '@ mounts'; cut -d' ' -f4- /proc/self/mountinfo | grep 'skein\\|nsfs'
echo '@ processes'; ps -eo args --no-headers | grep 'skein-shim\\|^sleep [0-9]*$' | grep -v 'grep\\|86400'
echo '@ held'; for pid in $(pidof skein-holder); do ls /proc/$pid/fd | wc -l; done
echo '@ files'; find /run/skein /run/netns /var/lib/skein -printf '%y %m %p %l\\n' 2>/dev/null
echo '@ settings'; cat /var/lib/skein/sysctls.json 2>/dev/null
echo '@ store'; etcdctl --endpoints "$1" get --prefix / | paste - -
cp /var/lib/skein/journal.db* /run/copied 2>/dev/null || true
`;

function linesOf(text: string): readonly string[] {
  let section = '';
  const lines: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('@ ')) section = line.slice(2);
    else if (line.trim() !== '') lines.push(`${section}\t${line}`);
  }
  return lines;
}

/** Of a copy of the database: the daemon keeps its own locked. */
function rowsOf(folder: string): readonly string[] {
  if (!readdirSync(folder).includes('journal.db')) return [];
  const journal = new DatabaseSync(join(folder, 'journal.db'));
  try {
    const rows = journal.prepare('select kind, id, value from journal').all();
    return rows.map((row) => `journal\t${String(row['kind'])} ${String(row['id'])} ${String(row['value'])}`);
  } finally {
    journal.close();
  }
}
