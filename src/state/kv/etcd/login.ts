import type { Credentials } from './credentials.ts';
import type { EtcdError } from './etcd-error.ts';
import { parseToken } from './messages.ts';

type Headers = Readonly<Record<string, string>>;

const invalidArgument = 3;
const failedPrecondition = 9;
const unauthenticated = 16;

/** A user's name and password, and the token that etcd gave for them: one for all members, asked for when it is needed. */
export class Login {
  readonly #login: { readonly name: string; readonly password: string };
  #asked: Promise<Headers> | undefined;
  #current: Headers | undefined;

  constructor(login: NonNullable<Credentials['login']>) {
    this.#login = login;
  }

  /** Whoever comes while it is asked for waits for the same answer. @throws StoreError */
  async headers(authenticate: (login: object) => Promise<unknown>): Promise<Headers> {
    if (this.#current !== undefined) return this.#current;
    this.#asked ??= this.#ask(authenticate).finally(() => {
      this.#asked = undefined;
    });
    this.#current = await this.#asked;
    return this.#current;
  }

  async #ask(authenticate: (login: object) => Promise<unknown>): Promise<Headers> {
    try {
      return { authorization: parseToken(await authenticate(this.#login)) };
    } catch (error) {
      // A store that asks nobody for a password.
      if (error instanceof Error && 'code' in error && error.code === failedPrecondition) return {};
      throw error;
    }
  }

  /** Whether etcd refuses the token: it expired, the member was restarted, users were changed, or logins are asked for now. */
  isOver({ code, message }: EtcdError): boolean {
    const old = /user name is empty|revision of auth store is old|revision in header is old/.test(message);
    return code === unauthenticated || (code === invalidArgument && old);
  }

  /** These, where they are still the current ones; without them, whichever are. */
  forget(used: Headers | undefined = this.#current): void {
    if (this.#current === used) this.#current = undefined;
  }
}
