import { hkdfSync } from 'node:crypto';
import { JoinToken, parseTokenText } from '../../../model/join-token.ts';
import { privateKeyOf, type Signer, signerOf } from '../signing.ts';

/**
 * A token as the mesh uses it. From its secret follows a key pair: its public key stands in the cluster's trust sheets, so
 * that every host can check a proof and none can make one.
 */
export class Token extends JoinToken {
  static of(token: JoinToken): Token {
    return new Token(token.secret(), token.fingerprint);
  }

  /** Of the pair that follows from the secret. */
  signer(): Signer {
    return signerOf(privateKeyOf(new Uint8Array(hkdfSync('sha256', this.secret(), '', 'skein token', 32))));
  }
}

/** @throws ParseError, which does not quote the text */
export function parseJoinToken(text: string): Token {
  return Token.of(parseTokenText(text));
}
