import { after, before } from 'node:test';
import { type Postgres, skipWithoutPostgres, startPostgres } from '../../../../../test/support/postgres.ts';
import { systemClock } from '../../base/clock.ts';
import { newId } from '../../base/ids.ts';
import { silentLogger } from '../../base/log.ts';
import { storeConformance } from '../conformance.ts';
import { openPostgresStore } from './postgres-store.ts';

let postgres: Postgres | undefined;
let template: string;

const open = (url: string) => openPostgresStore({ url, clock: systemClock, log: silentLogger, nodeId: newId('node'), poolSize: 4 });

before(async () => {
  postgres = await startPostgres({ fsync: false });
  if (postgres === undefined) return;
  template = await postgres.createDatabase();
  await (await open(template)).close();
});
after(() => postgres?.close());

storeConformance({
  name: 'postgres',
  createStore: async () => {
    if (postgres === undefined) throw new Error(String(skipWithoutPostgres));
    return open(await postgres.createDatabase({ template }));
  },
});
