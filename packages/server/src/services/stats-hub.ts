import type { ContainerStats, ServiceRef, ServiceRuntime } from '../runtime/services.ts';

/** One stream of the engine for each container that is watched, however many watch it. */
export interface StatsHub {
  /** What comes from now on, the newest only: who reads slowly misses what lay in between. Ends with the container. */
  watch(ref: ServiceRef, signal: AbortSignal): AsyncIterable<ContainerStats>;
  /** How many of the engine's streams are open. */
  open(): number;
}

interface Watcher {
  next: ContainerStats | undefined;
  wake: () => void;
}

interface Source {
  readonly watchers: Set<Watcher>;
  readonly abort: AbortController;
  isOver: boolean;
  error: unknown;
}

export function createStatsHub(runtime: Pick<ServiceRuntime, 'stats'>): StatsHub {
  const sources = new Map<string, Source>();

  async function follow(ref: ServiceRef, source: Source): Promise<void> {
    try {
      for await (const stats of runtime.stats(ref, { signal: source.abort.signal }))
        for (const watcher of source.watchers) {
          watcher.next = stats;
          watcher.wake();
        }
    } catch (error) {
      if (!source.abort.signal.aborted) source.error = error;
    } finally {
      source.isOver = true;
      if (sources.get(ref.handle) === source) sources.delete(ref.handle);
      for (const watcher of source.watchers) watcher.wake();
    }
  }

  function sourceOf(ref: ServiceRef): Source {
    const known = sources.get(ref.handle);
    if (known !== undefined) return known;
    const source: Source = { watchers: new Set(), abort: new AbortController(), isOver: false, error: undefined };
    sources.set(ref.handle, source);
    void follow(ref, source);
    return source;
  }

  return {
    open: () => sources.size,
    async *watch(ref, signal) {
      const source = sourceOf(ref);
      const watcher: Watcher = { next: undefined, wake: () => undefined };
      source.watchers.add(watcher);
      const onAbort = () => watcher.wake();
      signal.addEventListener('abort', onAbort, { once: true });
      try {
        while (!signal.aborted) {
          const { next } = watcher;
          watcher.next = undefined;
          if (next !== undefined) yield next;
          else if (source.isOver) break;
          else await new Promise<void>((resolve) => (watcher.wake = resolve));
        }
        if (source.error !== undefined) throw source.error;
      } finally {
        signal.removeEventListener('abort', onAbort);
        source.watchers.delete(watcher);
        if (source.watchers.size === 0) {
          source.abort.abort();
          if (sources.get(ref.handle) === source) sources.delete(ref.handle);
        }
      }
    },
  };
}
