import type { NameChange, NameItem, NameKey } from '../../dns/dns.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';

/** Collects what is told in one turn of the event loop, and sends it as one change. */
export class Changes {
  readonly #send: (change: NameChange) => Promise<void>;
  readonly #log: Log;
  /** By kind and id, in the order in which they were told last. */
  readonly #items = new Map<string, { readonly put: NameItem } | { readonly remove: NameKey }>();
  #last: Promise<void> = Promise.resolve();
  #planned: NodeJS.Immediate | undefined;

  constructor(send: (change: NameChange) => Promise<void>, log: Log) {
    this.#send = send;
    this.#log = log;
  }

  put(item: NameItem): void {
    this.#note(item, { put: item });
  }

  remove(key: NameKey): void {
    this.#note(key, { remove: key });
  }

  /** Sends it now. */
  flush(): void {
    clearImmediate(this.#planned);
    this.#planned = undefined;
    if (this.#items.size === 0) return;
    const items = [...this.#items.values()];
    this.#items.clear();
    const put = items.flatMap((item) => ('put' in item ? [item.put] : []));
    const remove = items.flatMap((item) => ('remove' in item ? [item.remove] : []));
    this.#last = this.#send({ put, remove }).catch((error: unknown) => {
      this.#log.error('names could not be told', { put: put.length, remove: remove.length, error: messageOf(error) });
    });
  }

  /** Resolves when all of it has been told, as they are told in order. Never fails. */
  told(): Promise<void> {
    this.flush();
    return this.#last;
  }

  #note({ kind, id }: NameKey, item: { readonly put: NameItem } | { readonly remove: NameKey }): void {
    const key = `${kind} ${id}`;
    // The order is that of the last telling.
    this.#items.delete(key);
    this.#items.set(key, item);
    this.#planned ??= setImmediate(() => this.flush());
  }
}
