/**
 * The keys of the store, one function each, in the order of `docs/store.md`. A prefix ends in '/'. The root comes from the
 * store's URL (`etcd://h:p/prefix`), `/skein` by default.
 */
export function keysBelow(root: string) {
  return {
    cluster: `${root}/cluster`,
    hosts: `${root}/hosts/`,
    host: (id: string) => `${root}/hosts/${id}`,
    /** Written with the host's session: it vanishes when the host stops renewing. */
    alive: `${root}/alive/`,
    aliveHost: (id: string) => `${root}/alive/${id}`,
    networks: `${root}/networks/`,
    network: (id: string) => `${root}/networks/${id}`,
    endpoints: (network: string) => `${root}/endpoints/${network}/`,
    endpoint: (network: string, id: string) => `${root}/endpoints/${network}/${id}`,
    networkNames: `${root}/names/networks/`,
    endpointNames: (network: string) => `${root}/names/endpoints/${network}/`,
    /** Of a network on which each host has names of its own. */
    sharedNames: (network: string, host: string) => `${root}/names/shared/${network}/${host}/`,
    /** Names given by hand. */
    records: `${root}/records/`,
    record: (id: string) => `${root}/records/${id}`,
    addresses: (network: string) => `${root}/addresses/${network}/`,
    /** Prefixes are written `10.0.0.0-24`. */
    subnets: `${root}/subnets/`,
    vnis: `${root}/vnis/`,
  } as const;
}

export type Keys = ReturnType<typeof keysBelow>;
