import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { Engine } from '../sql/engine.ts';
import { noticesOf } from '../sql/notices.ts';
import type { Checkpointer } from './checkpointer.ts';
import type { Connection } from './connection.ts';
import { toStoreError } from './failures.ts';
import { runQuery } from './run-query.ts';
import { createWriter } from './writer.ts';

interface Connections {
  readonly writer: Connection;
  readonly reader: Connection;
  readonly checkpointer: Checkpointer | undefined;
}

/**
 * In memory both connections are the same one. That changes nothing for a reader: a batch runs without
 * giving way, so no reader ever finds a transaction open.
 */
export function createEngine({ writer: db, reader, checkpointer }: Connections, clock: Clock): Engine {
  const writer = createWriter(db);
  // Goes on from the wall clock at the start, and is not moved when that is set.
  const offset = clock.now() - clock.monotonic();
  const now = () => Math.floor(offset + clock.monotonic());
  let closing: Promise<void> | undefined;

  async function closeAll(): Promise<void> {
    await writer.close();
    await checkpointer?.stop();
    // The last connection to close folds the write-ahead log into the file, and a reader could not.
    if (reader !== db) reader.close();
    db.close();
  }

  return {
    async read(query) {
      if (closing !== undefined) throw new PlatformError('store_unavailable', { detail: 'The database was closed.' });
      try {
        return runQuery(reader, query(), now);
      } catch (error) {
        throw toStoreError(error);
      }
    },
    write: (operation) => writer.write(({ db: open, publish }) => runQuery(open, operation({ publish }), now)),
    onCommit: (listener) => writer.onCommit((events) => listener(noticesOf(events))),
    close() {
      closing ??= closeAll();
      return closing;
    },
  };
}
