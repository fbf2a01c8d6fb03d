import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { ParseError } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import { listIn } from '../host-sheet.ts';
import { parseLinkAddress } from '../link/address.ts';
import { Courier } from '../link/courier.ts';
import { type Datagrams, openDatagrams } from '../link/datagrams.ts';
import { type OpenLinks, openLinks } from '../link/links.ts';
import type { Mesh } from '../mesh.ts';
import { sealOf, verify } from '../signing.ts';
import { admit } from '../trust/admissions.ts';
import { parseEvidence } from '../trust/evidence.ts';
import type { Genesis } from '../trust/genesis.ts';
import type { TrustView } from '../trust/view.ts';
import { clock } from './clock.ts';
import type { Self } from './self.ts';

export interface DoorsNeeds {
  readonly self: Self;
  readonly genesis: Genesis;
  readonly view: TrustView;
  readonly mesh: Mesh;
  /** Whether nothing keeps this host from leaving its cluster for another. */
  readonly isEmpty: () => boolean;
  readonly log: Log;
}

/** Where other hosts come in: TCP and UDP on one port. */
export interface Doors {
  readonly links: OpenLinks;
  readonly datagrams: Datagrams;
  /** May be called twice. */
  readonly close: () => void;
}

/** @throws Refusal when nobody can listen there */
export async function openDoors({ self, genesis, view, mesh, isEmpty, log }: DoorsNeeds): Promise<Doors> {
  const seal = sealOf(self.signer);
  const links = await openLinks({
    ...{ credentials: self.credentials, address: self.listen, port: self.port, log },
    events: () => mesh,
    ended: (greeting, { address }) => log.debug('a greeting brought no link', { address, how: greeting.kind }),
    greeter: () => ({
      side: {
        ...{ kind: 'member', key: seal.key, genesis, empty: isEmpty() },
        trust: () => view.now(),
        trustWith: (shown) => view.with(parseEvidence(shown, { genesis, seal })),
        sheets: () => mesh.shown('trust'),
      },
      ...{ verify, log },
      admit: async (claim) => await admit(claim, { sheets: mesh.sheets, view, verify, clock }),
      // Members learn of each other by sheets.
      learn: () => undefined,
    }),
  });
  const courier = new Courier({
    ...{ self: self.id, privateKey: self.privateKey, cluster: view.cluster },
    keyOf: (id) => view.now().hosts.get(id)?.key,
    random: randomBytes,
    now: () => clock.now(),
  });
  try {
    const datagrams = await openDatagrams({
      ...{ courier, address: self.listen, port: self.port, log },
      addressOf: (id) => addressOf(mesh, id),
      received: (from, message) => mesh.datagram(from, message),
    });
    const close = () => {
      datagrams.close();
      links.close();
    };
    return { links, datagrams, close };
  } catch (error) {
    links.close();
    throw error;
  }
}

/** Where datagrams for a host go. */
function addressOf({ sheets }: Mesh, host: string): { address: string; port: number } | undefined {
  const [text] = listIn(sheets.read(host, 'host'), 'addresses');
  if (text === undefined) return undefined;
  try {
    const { host: address, port } = parseLinkAddress(text);
    return isIP(address) === 0 ? undefined : { address, port };
  } catch (error) {
    if (error instanceof ParseError) return undefined;
    throw error;
  }
}
