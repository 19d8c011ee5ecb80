import type { Random } from './random.ts';

/** The servers as one client knows them: it stays with one while that answers, and tries another when it does not. */
export interface Endpoints {
  current(): string;
  /** Chooses another one, where there is another. */
  rotate(): void;
}

export function createEndpoints(urls: readonly string[], random: Random): Endpoints {
  let index = random.whole(urls.length);
  return {
    current: () => urls[index] ?? '',
    rotate() {
      if (urls.length > 1) index = (index + 1 + random.whole(urls.length - 1)) % urls.length;
    },
  };
}
