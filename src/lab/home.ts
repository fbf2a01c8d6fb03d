import { home, isClone } from '../lib/own-files.ts';

/** What people type to get to the command line: from a clone nothing is installed. */
export const self = isClone ? './skein' : 'skein';

/** Where `npm run` unpacks Debian's etcd. */
export const unpackedEtcd = `${home}.cache/etcd/usr/bin`;

export const howToGetEtcd = isClone
  ? 'npm run setup unpacks it'
  : "install it (Debian's packages etcd-server and etcd-client) or give --store";
