import type { Engine } from './engine.ts';

export interface OutboxSignal {
  /** The same database; its transactions can tell that they made deliveries due. */
  readonly engine: Engine;
  onAdded(listener: () => void): () => void;
}

/** Lets those who wait for deliveries know of the commits that have brought some, and of no other. */
export function withOutboxSignal(engine: Engine): OutboxSignal {
  const listeners = new Set<() => void>();
  return {
    engine: {
      ...engine,
      async write(operation) {
        let isWoken = false;
        const wakeOutbox = () => {
          isWoken = true;
        };
        const value = await engine.write((tx) => operation({ ...tx, wakeOutbox }));
        if (isWoken) for (const listener of listeners) listener();
        return value;
      },
    },
    onAdded(listener) {
      const own = () => listener();
      listeners.add(own);
      return () => void listeners.delete(own);
    },
  };
}
