import { type Clock, delay } from '../../base/clock.ts';
import { isPlatformError, PlatformError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { createSqlStore } from '../sql/sql-store.ts';
import type { Store } from '../store.ts';
import { createPostgresEngine } from './engine.ts';
import { isConnectionFailure } from './failures.ts';
import { type BeforeMigration, prepareDatabase, withAdminClient, withSchemaLock } from './migrate.ts';
import { MIGRATIONS } from './migrations/all.ts';
import { createPeerLink } from './peers.ts';
import { createPool } from './pool.ts';
import { createScopes, ensureRowSecurity, NO_SCOPES, type Scopes, TENANT_ROLE } from './row-security.ts';

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database?sslmode=…`. It is never logged, and is in no error. */
  readonly url: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** By which servers on the same database know each other apart. */
  readonly nodeId: string;
  /** Connections at most, and one more to hear from the other servers. */
  readonly poolSize?: number | undefined;
  /** Makes a backup before the schema changes; none unless told. */
  readonly beforeMigration?: BeforeMigration | undefined;
  /** How long the opening waits for a database that does not answer yet. */
  readonly startPatienceMs?: number | undefined;
}

const DEFAULT_POOL_SIZE = 10;
const START_PATIENCE_MS = 30_000;
const START_PAUSE_MS = 500;

/**
 * Opens the store on PostgreSQL and brings its schema up to date; several servers may do so at once. Throws
 * `config_invalid`, `store_newer`, `store_schema_changed`, `disk_full` and `store_unavailable`.
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const { clock, log, nodeId, poolSize = DEFAULT_POOL_SIZE } = options;
  const url = requireUrl(options.url);
  const scopes = await prepare(url, options);
  const peers = createPeerLink({ url, nodeId, clock, log });
  const pool = createPool({ url, poolSize, clock, log });
  await peers.start();
  return createSqlStore(createPostgresEngine({ pool, scopes, peers, clock, log }), () => undefined);
}

/** The database may start beside us, and answer only in a while. */
async function prepare(url: string, options: PostgresStoreOptions): Promise<Scopes> {
  const { clock, log, beforeMigration, startPatienceMs = START_PATIENCE_MS } = options;
  const deadline = clock.monotonic() + startPatienceMs;
  for (;;) {
    try {
      return await withAdminClient(url, async (client) => {
        await prepareDatabase(client, MIGRATIONS, clock.now(), beforeMigration);
        if (await withSchemaLock(client, () => ensureRowSecurity(client))) return createScopes();
        log.warn(`row-level security is off: let the database's user create roles, or make the role ${TENANT_ROLE} and grant it to them`);
        return NO_SCOPES;
      });
    } catch (error) {
      if (!isAway(error) || clock.monotonic() > deadline) throw error;
      log.warn({ reason: error.cause instanceof Error ? error.cause.message : error.detail }, 'PostgreSQL does not answer yet');
    }
    await delay(clock, START_PAUSE_MS);
  }
}

function isAway(error: unknown): error is PlatformError {
  return isPlatformError(error, 'store_unavailable') && isConnectionFailure(error.cause);
}

/** The URL itself, with its password, is not said. */
function requireUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed !== null && (parsed.protocol === 'postgres:' || parsed.protocol === 'postgresql:')) return url;
  throw new PlatformError('config_invalid', {
    detail: 'DATABASE_URL: not a postgres:// URL.',
    fields: [{ pointer: 'DATABASE_URL', message: 'not a postgres:// URL' }],
  });
}
