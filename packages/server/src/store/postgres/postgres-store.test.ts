import { after, before } from 'node:test';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../../../test/support/postgres-stores.ts';
import { storeConformance } from '../conformance.ts';

let stores: PostgresStores;

if (skipWithoutPostgres === false) {
  before(async () => {
    stores = await startPostgresStores();
  });
  after(() => stores.close());
}

storeConformance({
  name: 'postgres',
  createStore: async () => stores.open(await stores.createDatabase()),
  unavailable: skipWithoutPostgres,
});
