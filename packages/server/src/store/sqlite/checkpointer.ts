import { Worker } from 'node:worker_threads';
import type { Clock } from '../../base/clock.ts';

export interface Checkpointer {
  /** Ends the thread; its connection is closed then. */
  stop(): Promise<void>;
}

/** Often enough that little is left to fold when a burst ends. */
const INTERVAL_MS = 250;

/**
 * Runs in a thread of its own and as text, since the server is one file. A passive checkpoint waits for nobody
 * and nobody waits for it; one that fails, as on a full disk, is left to the next.
 */
const THREAD = `
const { parentPort, workerData } = require('node:worker_threads');
const { DatabaseSync } = require('node:sqlite');
const database = new DatabaseSync(workerData.file, { timeout: 2000 });
const checkpoint = database.prepare('PRAGMA wal_checkpoint(PASSIVE)');
parentPort.on('message', (message) => {
  if (message === 'stop') {
    database.close();
    parentPort.close();
    return;
  }
  try {
    checkpoint.get();
  } catch {}
});
`;

/**
 * Folds the write-ahead log into the database beside the writer. Within a commit that would be a wait of up to
 * some hundred milliseconds for the whole server, since every call of SQLite's holds the event loop.
 */
export function startCheckpointer(file: string, clock: Clock): Checkpointer {
  const worker = new Worker(THREAD, { eval: true, workerData: { file } });
  worker.unref();
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  // Without the thread the writer's own, rarer checkpoints go on.
  worker.on('error', () => undefined);
  const cancel = clock.every(INTERVAL_MS, () => worker.postMessage('checkpoint'));
  let stopping: Promise<void> | undefined;
  return {
    stop() {
      stopping ??= (async () => {
        cancel();
        worker.ref();
        worker.postMessage('stop');
        await ended;
      })();
      return stopping;
    },
  };
}
