import { fileURLToPath } from 'node:url';

/** The folder of the clone, or of the package. */
export const home = fileURLToPath(new URL('../../', import.meta.url));

const clone = import.meta.filename.endsWith('.ts');

/** What people type to get to the command line: from a clone nothing is installed. */
export const self = clone ? './skein' : 'skein';

/** Where `npm run` unpacks Debian's etcd. */
export const unpackedEtcd = `${home}.cache/etcd/usr/bin`;

export const howToGetEtcd = clone
  ? 'npm run setup unpacks it'
  : "install it (Debian's packages etcd-server and etcd-client) or give --store";
