import type { Procfs } from '../kernel/procfs.ts';
import { sysctls } from '../kernel/sysctl.ts';
import type { Lists } from './lists.ts';
import { object, type Sysctl } from './objects.ts';
import type { Places } from './places.ts';

/** Before it takes longer to look among so many than to begin anew. */
const NAMESPACES_OF_A_PROCFS = 128;

/** Reads settings of one namespace after the other. To be closed. */
export class SysctlReader {
  readonly #places: Places;
  readonly #lists: Lists;
  #procfs: Procfs | undefined;
  #seen = 0;

  constructor(places: Places, lists: Lists) {
    this.#places = places;
    this.#lists = lists;
  }

  /** Those that are wanted, as they are. What this kernel does not have needs no value. */
  read(namespace: string, wanted: readonly Sysctl[] = []): Sysctl[] {
    const values = new Map<string, string | undefined>();
    const inFiles: string[] = [];
    for (const { path } of wanted) {
      const read = ofLink(path);
      if (read) values.set(path, read(this.#lists, namespace)?.toString());
      else inFiles.push(path);
    }
    if (inFiles.length > 0) {
      const procfs = this.#newProcfs();
      this.#places.inside(namespace, () => {
        for (const path of inFiles) values.set(path, sysctls.get(path, procfs));
      });
    }
    return wanted.map(({ path, spec, parent }) =>
      object.sysctl(namespace, path, values.get(path) ?? spec.value, parent),
    );
  }

  close(): void {
    this.#procfs?.close();
    this.#procfs = undefined;
  }

  #newProcfs(): string {
    if (this.#seen++ % NAMESPACES_OF_A_PROCFS === 0) this.close();
    this.#procfs ??= this.#places.openProcfs();
    return this.#procfs.path;
  }
}

type Read = (lists: Lists, namespace: string) => number | undefined;

/** How to read what the kernel tells of links too: that is quicker than to open a file. */
function ofLink(path: string): Read | undefined {
  const [, name = '', setting] = /^net\/ipv6\/conf\/([^/]+)\/(\w+)$/.exec(path) ?? [];
  if (name === 'all' || name === 'default') return undefined;
  if (setting === 'accept_ra') return (lists, namespace) => lists.link(namespace, name)?.ipv6?.acceptRa;
  if (setting === 'disable_ipv6') return (lists, namespace) => lists.link(namespace, name)?.ipv6?.disableIpv6;
  return undefined;
}
