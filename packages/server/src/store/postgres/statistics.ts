import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { text } from '../sql/rows.ts';
import type { ConnectionPool } from './pool.ts';

interface StatisticsDeps {
  readonly pool: ConnectionPool;
  readonly clock: Clock;
  readonly log: Logger;
}

const INTERVAL_MS = 5000;
/** Tables that have doubled since their rows were counted, but for the smallest. */
const OUTGROWN = `SELECT relname AS name FROM pg_stat_user_tables
  WHERE schemaname = current_schema() AND n_mod_since_analyze > 500 AND n_mod_since_analyze > n_live_tup / 2`;

/**
 * Has the rows of young tables counted in time. PostgreSQL does that by itself, but only every minute or so, and
 * until then it takes a table of many thousand rows for an empty one and picks any index. Answers the way to stop.
 */
export function keepStatistics({ pool, clock, log }: StatisticsDeps): () => Promise<void> {
  let running: Promise<void> | undefined;

  async function count(): Promise<void> {
    try {
      const client = await pool.acquire();
      try {
        const { rows } = await client.query(OUTGROWN);
        for (const row of rows) await client.query(`ANALYZE (SKIP_LOCKED) "${text(row, 'name')}"`);
      } finally {
        client.release();
      }
    } catch (error) {
      log.debug({ reason: error instanceof Error ? error.message : String(error) }, 'the rows of the tables could not be counted');
    }
  }

  const stop = clock.every(INTERVAL_MS, () => {
    running ??= count().finally(() => {
      running = undefined;
    });
  });
  return async () => {
    stop();
    await running;
  };
}
