import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Client, createClient } from '@cloister/api';
import { loadConfig } from '../../src/config.ts';
import { type RunningServer, startServer } from '../../src/main.ts';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../support/postgres-stores.ts';

const KEY = 'clst_key-of-the-two-servers';
const skip = process.platform === 'linux' ? skipWithoutPostgres : 'files of workspaces are reached on Linux only';

describe('a restore beside another server', { skip, timeout: 240_000 }, () => {
  let stores: PostgresStores;
  let dir: string;
  const servers: RunningServer[] = [];

  /** Each has a DATA_DIR of its own; `files` are those of the sessions, which some share. */
  const start = async (url: string, name: string, files: string): Promise<Client> => {
    await mkdir(path.join(dir, name), { recursive: true });
    await mkdir(path.join(dir, files), { recursive: true });
    await symlink(path.join(dir, files), path.join(dir, name, 'sessions'));
    const server = await startServer(
      loadConfig({
        CLOISTER_RUNTIME: 'fake',
        DATABASE_URL: url,
        DATA_DIR: path.join(dir, name),
        PORT: '0',
        CLOISTER_ADMIN_KEY: KEY,
        LOG_LEVEL: 'silent',
        DRAIN_SECONDS: '2',
        HEARTBEAT_SECONDS: '1',
        PRESTART_SANDBOXES: 'false',
      }),
    );
    servers.push(server);
    return createClient({ url: server.url, key: KEY });
  };
  before(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'cloister-restore-'));
    stores = await startPostgresStores();
  });
  after(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await stores?.close();
    await rm(dir, { recursive: true, force: true });
  });

  it('waits until that one has stopped its idle sandbox, and is refused where the files are not', async () => {
    const url = await stores.postgres.createDatabase();
    // The session's sandbox is with the one that was there first.
    const one = await start(url, 'one', 'shared');
    const agent = (await one.agents.list()).data[0]?.id ?? '';
    const environment = (await one.environments.list()).data[0]?.id ?? '';
    const session = (await one.sessions.create({ agent, environment_id: environment })).id;
    const say = async (client: Client) =>
      (await client.events.send(session, [{ type: 'user.message', content: 'hello' }], { wait: 60 })).turn?.outcome;
    assert.equal(await say(one), 'completed');
    const sandboxOf = async (client: Client) => (await client.sessions.get(session)).sandbox?.id;
    const first = await sandboxOf(one);
    assert.ok(first !== undefined, 'it idles');
    await one.files.write(session, 'a.txt', new Uint8Array(Buffer.from('before')));
    const { id } = await one.snapshots.create(session);
    await one.files.write(session, 'a.txt', new Uint8Array(Buffer.from('after')));

    const other = await start(url, 'other', 'shared');
    const far = await start(url, 'far', 'apart');
    await assert.rejects(far.snapshots.restore(session, id), { code: 'snapshot_not_found' });
    await other.snapshots.restore(session, id);
    assert.equal(await sandboxOf(one), undefined, 'it is gone before the files change');
    assert.equal(await (await one.files.read(session, 'a.txt')).text(), 'before');
    assert.equal(await say(other), 'completed');
  });
});
