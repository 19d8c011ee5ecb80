import { PlatformError } from '../../base/errors.ts';
import type { CommitListener } from '../store.ts';
import type { Connection } from './connection.ts';
import { toStoreError } from './failures.ts';
import { createWriter, type Transaction } from './writer.ts';

/** What the parts of the store share: reads of what is committed, and writes in the group commit. */
export interface Engine {
  read<T>(query: (db: Connection) => T): Promise<T>;
  write<T>(operation: (tx: Transaction) => T): Promise<T>;
  onCommit(listener: CommitListener): () => void;
  close(): Promise<void>;
}

/**
 * In memory both connections are the same one. That changes nothing for a reader: a batch runs without
 * giving way, so no reader ever finds a transaction open.
 */
export function createEngine(connections: { readonly writer: Connection; readonly reader: Connection }): Engine {
  const { writer: db, reader } = connections;
  const writer = createWriter(db);
  let closing: Promise<void> | undefined;

  async function closeAll(): Promise<void> {
    await writer.close();
    // The last connection to close folds the write-ahead log into the file, and a reader could not.
    if (reader !== db) reader.close();
    db.close();
  }

  return {
    async read(query) {
      if (closing !== undefined) throw new PlatformError('store_unavailable', { detail: 'The database was closed.' });
      try {
        return query(reader);
      } catch (error) {
        throw toStoreError(error);
      }
    },
    write: (operation) => writer.write(operation),
    onCommit: (listener) => writer.onCommit(listener),
    close() {
      closing ??= closeAll();
      return closing;
    },
  };
}
