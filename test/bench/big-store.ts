import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Platform, startPlatform } from './platform.ts';
import { proveNothingLost } from './proof.ts';
import { type Bench, ms, type Row, summary, verdict } from './row.ts';
import { wholeTurn } from './turns.ts';

const SESSIONS = 100_000;
const TURNS = 2;
const PAGES = 400;
const PAGE_SIZE = 100;
const TABLES = ['sessions', 'session_definitions', 'events', 'turns'] as const;

/** A server on a large database: copies of one session that was made over the API, with its turns and their events. */
export const bigStoreBench: Bench = {
  name: 'big-store',
  needsEngine: false,
  isLong: true,
  async run() {
    const dataDir = await mkdtemp(path.join(os.tmpdir(), 'cloister-bench-'));
    try {
      await makeOriginal(dataDir);
      const rows = multiply(path.join(dataDir, 'data', 'cloister.db'));
      await using platform = await startPlatform({}, { dataDir });
      const start = startRow(platform.startMs, rows);
      const times = await readPages(platform);
      const session = await platform.newSession();
      for (let turn = 0; turn < 20; turn++) await wholeTurn(platform, session);
      return [start, pagesRow(times), await proveNothingLost('large store', [platform])];
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};

async function makeOriginal(dataDir: string): Promise<void> {
  await using platform = await startPlatform({}, { dataDir });
  const session = await platform.newSession();
  for (let turn = 0; turn < TURNS; turn++) await wholeTurn(platform, session);
}

/** Answers how many rows there are then. */
function multiply(file: string): number {
  const db = new DatabaseSync(file);
  try {
    db.exec('PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; BEGIN');
    for (const table of TABLES) db.exec(copyStatement(db, table));
    db.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
    return TABLES.reduce((sum, table) => sum + Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n ?? 0), 0);
  } finally {
    db.close();
  }
}

/** Each copy has ids of its own, and was made a second after the one before it. */
function copyStatement(db: DatabaseSync, table: (typeof TABLES)[number]): string {
  const columns = db.prepare(`SELECT name FROM pragma_table_info('${table}')`).all();
  // The last digits of an id become the number of the copy; the first tell the original's own things apart.
  const own = (column: string): string => `substr(${column}, 1, 24) || printf('%012x', n)`;
  const change: Readonly<Record<string, string>> = {
    session_id: own('session_id'),
    turn_id: own('turn_id'),
    event_id: own('event_id'),
    id: own('id'),
    created_at: 'created_at + n * 1000',
  };
  const names = columns.map(({ name }) => String(name)).filter((name) => table !== 'turns' || name !== 'position');
  const values = names.map((name) => change[name] ?? name);
  return `WITH RECURSIVE copies (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < ${SESSIONS - 1})
    INSERT INTO ${table} (${names.join(', ')}) SELECT ${values.join(', ')} FROM copies CROSS JOIN (SELECT * FROM ${table})`;
}

function startRow(startMs: number, rows: number): Row {
  return {
    measure: `start → ready with ${rows.toLocaleString('en')} rows, SQLite`,
    result: ms(startMs),
    must: '≤ 5,000 ms with 1,000,000',
    goal: '≤ 2,000 ms',
    verdict: verdict(startMs <= 5000 && rows >= 1_000_000, startMs <= 2000),
    values: { startMs, rows },
  };
}

async function readPages({ client }: Platform): Promise<number[]> {
  const times: number[] = [];
  let page: string | undefined;
  for (let n = 0; n < PAGES; n++) {
    const began = performance.now();
    const next = await client.sessions.list({ limit: PAGE_SIZE, ...(page === undefined ? {} : { page }) });
    times.push(performance.now() - began);
    if (next.data.length !== PAGE_SIZE) throw new Error(`a page of ${next.data.length} sessions`);
    page = next.next_page ?? undefined;
  }
  return times;
}

function pagesRow(times: readonly number[]): Row {
  const { p50, p99 } = summary(times);
  return {
    measure: `a page of ${PAGE_SIZE} of ${SESSIONS.toLocaleString('en')} sessions, SQLite`,
    result: `p50 ${ms(p50)}, p99 ${ms(p99)}`,
    must: 'p99 ≤ 50 ms',
    goal: '1,000,000 sessions',
    verdict: verdict(p99 <= 50, false),
    values: { p50, p99 },
  };
}
