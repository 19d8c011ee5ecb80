import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createClient } from '../../../../packages/api/src/index.ts';
import { skipWithoutOwnPostgres } from '../../../../test/support/postgres.ts';
import { TEST_PROGRAM } from '../../../../test/torture/run.ts';
import { createSetting, SERVER_KEY, type StoreKind } from '../../../../test/torture/setting.ts';

const LIMIT_MS = 60_000;
const atPassage = (count: number) => ({ CLOISTER_TEST_CRASH_AT: `migrate.between_statements:${count}` });
/** So many steps there are not. */
const NEVER = 1000;

async function dieAndComeBack(store: StoreKind): Promise<void> {
  const setting = await createSetting({ store, servers: 1, hasSmallDisk: false, env: atPassage(1), program: TEST_PROGRAM });
  try {
    const [server] = setting.servers;
    assert.ok(server);
    assert.equal(await server.starting, undefined, 'it died in the first step');
    assert.equal(await server.control.start(atPassage(2)), undefined, 'it made the first one again and died in the second');
    assert.ok((await server.control.start(atPassage(NEVER))) !== undefined);
    const client = createClient({ url: server.control.url, key: SERVER_KEY });
    assert.ok((await client.agents.list()).data.length > 0);
    await server.control.kill('SIGKILL');
    assert.ok(['ok', null].includes(setting.integrity()));
  } finally {
    await setting.close({ keep: false });
  }
}

it('a migration that is killed is made whole by the next start, on SQLite', { timeout: LIMIT_MS }, () => dieAndComeBack('sqlite'));
it('a migration that is killed is made whole by the next start, on PostgreSQL', { timeout: LIMIT_MS, skip: skipWithoutOwnPostgres }, () =>
  dieAndComeBack('postgres'),
);
