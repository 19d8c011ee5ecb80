import type { Logger } from 'pino';
import { type Postgres, type PostgresOptions, skipWithoutPostgres, startPostgres } from '../../../../test/support/postgres.ts';
import { systemClock } from '../../src/base/clock.ts';
import { newId } from '../../src/base/ids.ts';
import { silentLogger } from '../../src/base/log.ts';
import { openPostgresStore } from '../../src/store/postgres/postgres-store.ts';
import type { Store } from '../../src/store/store.ts';

export { skipWithoutOwnPostgres, skipWithoutPostgres } from '../../../../test/support/postgres.ts';

/** A PostgreSQL and the stores that a test opens on it. */
export interface PostgresStores extends AsyncDisposable {
  readonly postgres: Postgres;
  /** An empty database with our tables in it. */
  createDatabase(): Promise<string>;
  /** One server's store; closed at the end unless it was before. */
  open(url: string, options?: { readonly poolSize?: number; readonly log?: Logger; readonly startPatienceMs?: number }): Promise<Store>;
  close(): Promise<void>;
}

export async function startPostgresStores(options: PostgresOptions = { fsync: false }): Promise<PostgresStores> {
  const postgres = await startPostgres(options);
  if (postgres === undefined) throw new Error(String(skipWithoutPostgres));
  const stores = new Set<Store>();
  let template: string | undefined;

  const open: PostgresStores['open'] = async (url, more = {}) => {
    const store = await openPostgresStore({ url, clock: systemClock, log: silentLogger, nodeId: newId('node'), poolSize: 4, ...more });
    stores.add(store);
    return store;
  };
  async function close(): Promise<void> {
    for (const store of stores) await store.close();
    await postgres?.close();
  }
  return {
    postgres,
    open,
    async createDatabase() {
      if (template === undefined) {
        const url = await postgres.createDatabase();
        await (await open(url)).close();
        template = url;
      }
      return postgres.createDatabase({ template });
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
