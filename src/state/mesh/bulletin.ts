import type { Clock } from './environment.ts';
import { type LinkMessage, most, type News } from './messages.ts';

/** In which news are gathered, in milliseconds: when many hosts start, or are lost, they come in crowds. */
const gathering = 10;

export interface BulletinNeeds {
  readonly clock: Clock;
  readonly peers: () => Iterable<string>;
  readonly send: (peer: string, message: LinkMessage) => void;
}

/** Tells neighbours news of who lives, what came in a moment in one message. */
export class Bulletin {
  readonly #needs: BulletinNeeds;
  #gathered: { readonly news: readonly News[]; readonly except: string | undefined }[] = [];

  constructor(needs: BulletinNeeds) {
    this.#needs = needs;
  }

  /** To all neighbours but one, who knows. */
  tell(news: readonly News[], except: string | undefined): void {
    if (this.#gathered.length === 0) this.#needs.clock.after(gathering, () => this.#flush());
    this.#gathered.push({ news, except });
  }

  #flush(): void {
    const gathered = this.#gathered;
    this.#gathered = [];
    for (const peer of [...this.#needs.peers()]) {
      const news = gathered.flatMap((one) => (one.except === peer ? [] : one.news));
      for (let at = 0; at < news.length; at += most.news)
        this.#needs.send(peer, { t: 'news', news: news.slice(at, at + most.news) });
    }
  }
}
