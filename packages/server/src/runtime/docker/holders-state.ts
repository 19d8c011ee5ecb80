import { delay } from '../../base/clock.ts';
import type { DockerContext } from './context.ts';
import { type Holder, type HolderOwner, removeHolder } from './holders-container.ts';

export interface HolderSettings {
  /** How many are kept ready. */
  readonly size: number;
  /** An image of the operator's: what a tenant chose never runs in another one's namespace, not even before. */
  readonly image: string;
}

export interface Loan {
  readonly holder: Holder;
  readonly since: number;
  readonly json: object;
}

export interface State {
  /** Whose they are; known from the first sandbox on. */
  owner: HolderOwner | undefined;
  /** Sandboxes are being made; else there is no need. */
  isWanted: boolean;
  making: number;
  failures: number;
  readonly ready: Holder[];
  /** By the name of the sandbox's container. */
  readonly loans: Map<string, Loan>;
  /** From before they are made until after they are removed. */
  readonly keys: Set<string>;
  readonly works: Set<Promise<void>>;
}

export function createState(): State {
  return {
    owner: undefined,
    isWanted: false,
    making: 0,
    failures: 0,
    ready: [],
    loans: new Map(),
    keys: new Set(),
    works: new Set(),
  };
}

export interface Bin {
  discard(holder: Holder, afterMs: number): void;
  run(work: Promise<void>): void;
}

/** What goes on behind the calls; the next listing finds what one could not remove. */
export function createBin(docker: DockerContext, state: State, closing: AbortSignal): Bin {
  const bin: Bin = {
    run(work) {
      const done = work
        .catch((error: unknown) => docker.log.warn({ err: error }, 'a network holder could not be removed; the next listing shows it'))
        .finally(() => state.works.delete(done));
      state.works.add(done);
    },
    discard(holder, afterMs) {
      const remove = async () => {
        // An end of the server does not wait.
        if (afterMs > 0) await delay(docker.clock, afterMs, closing).catch(() => undefined);
        try {
          await removeHolder(docker, holder.id);
        } finally {
          holder.letGo();
          state.keys.delete(holder.key);
        }
      };
      bin.run(remove());
    },
  };
  return bin;
}
