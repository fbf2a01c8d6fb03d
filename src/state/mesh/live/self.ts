import { createPrivateKey, type KeyObject } from 'node:crypto';
import { type Credentials, credentialsOf } from '../link/secure.ts';
import { type Signer, signerOf } from '../signing.ts';

/** This host, as it shows itself to others. */
export interface Self {
  readonly id: string;
  readonly name: string;
  /** Grows with each life, as `MeshOptions` says. */
  readonly epoch: number;
  readonly privateKey: KeyObject;
  readonly signer: Signer;
  readonly credentials: Credentials;
  /** Where others reach it. */
  readonly address: string;
  /** TCP and UDP. */
  readonly port: number;
  /** Where it listens: all addresses of the family. */
  readonly listen: '0.0.0.0' | '::';
}

/** `privateKey`: PKCS #8, PEM. */
export function selfOf({
  privateKey: text,
  address,
  ...facts
}: Pick<Self, 'id' | 'name' | 'epoch' | 'address' | 'port'> & { readonly privateKey: string }): Self {
  const privateKey = createPrivateKey(text);
  const listen = address.includes(':') ? '::' : '0.0.0.0';
  return {
    ...facts,
    address,
    listen,
    privateKey,
    signer: signerOf(privateKey),
    credentials: credentialsOf(privateKey),
  };
}
