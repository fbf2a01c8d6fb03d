import { rm } from 'node:fs/promises';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Container } from '../../model/container.ts';
import type { Journal } from '../../state/journal.ts';
import type { Endpoints } from '../endpoints/endpoints.ts';
import type { ShimPlace } from './shim.ts';

export interface RemainsNeeds {
  readonly endpoints: Pick<Endpoints, 'closeSandbox' | 'sandboxes'>;
  readonly journal: Pick<Journal, 'commit'>;
  readonly log: Log;
  readonly placeOf: (container: string) => ShimPlace;
}

/** What is journalled and taken back of containers as they end. Nothing here rejects: what fails is tried again. */
export class Remains {
  readonly #needs: RemainsNeeds;
  /** Ids of which something could not be taken back yet. */
  readonly #left = new Set<string>();

  constructor(needs: RemainsNeeds) {
    this.#needs = needs;
  }

  /** Ids of containers that have yet to be discarded. */
  get left(): readonly string[] {
    return [...this.#left];
  }

  /** What is not journalled now is so with the next change. */
  async note(container: Container): Promise<void> {
    const { id } = container;
    try {
      await this.#needs.journal.commit([{ kind: 'container', id, put: container }]);
    } catch (error) {
      this.#needs.log.warn('container not journalled yet', { container: id, error: messageOf(error) });
    }
  }

  /** One that has ended leaves its networks. */
  async leave(container: Container): Promise<void> {
    try {
      await this.#needs.journal.commit([{ kind: 'container', id: container.id, put: container }]);
      await this.#closeSandboxes(container.id);
    } catch (error) {
      this.#needs.log.warn('ended container not taken back yet', { container: container.id, error: messageOf(error) });
    }
  }

  /** Everything of one that does not run: journal, sandbox, files. */
  async discard(id: string): Promise<void> {
    const { journal, log, placeOf } = this.#needs;
    try {
      await journal.commit([{ kind: 'container', id, remove: true }]);
      await this.#closeSandboxes(id);
      await rm(placeOf(id).directory, { recursive: true, force: true });
      this.#left.delete(id);
    } catch (error) {
      this.#left.add(id);
      log.warn('container not taken back yet', { container: id, error: messageOf(error) });
    }
  }

  async #closeSandboxes(id: string): Promise<void> {
    const { endpoints } = this.#needs;
    for (const sandbox of endpoints.sandboxes()) {
      if (sandbox.container?.id === id) await endpoints.closeSandbox(sandbox.id);
    }
  }
}
