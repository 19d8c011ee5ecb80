import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Client, ClientError, createClient } from '@cloister/api';
import { loadConfig } from '../../src/config.ts';
import { type RunningServer, startServer } from '../../src/main.ts';
import { type PostgresStores, skipWithoutPostgres, startPostgresStores } from '../support/postgres-stores.ts';
import { waitFor } from '../support/wait-for.ts';

const KEY = 'clst_key-of-two-servers-that-revoke';
/** What is promised; the wait is longer only since the machine may be busy. */
const PROMISED_MS = 5000;

describe('what one server revokes, the other refuses', { skip: skipWithoutPostgres, timeout: 120_000 }, () => {
  let stores: PostgresStores;
  let dir: string;
  let servers: readonly RunningServer[] = [];
  let one: Client;

  before(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'cloister-revoke-'));
    stores = await startPostgresStores();
    const url = await stores.postgres.createDatabase();
    const start = (name: string) =>
      startServer(
        loadConfig({
          CLOISTER_RUNTIME: 'fake',
          DATABASE_URL: url,
          DATA_DIR: path.join(dir, name),
          PORT: '0',
          CLOISTER_ADMIN_KEY: KEY,
          LOG_LEVEL: 'silent',
          DRAIN_SECONDS: '1',
          WARM_POOL_MAX: '0',
        }),
      );
    servers = await Promise.all(['one', 'other'].map(start));
    one = createClient({ url: servers[0]?.url ?? '', key: KEY });
  });
  after(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await stores?.close();
    await rm(dir, { recursive: true, force: true });
  });

  /** A client of the other server, which has used its key there. */
  async function clientOfOther(key: string): Promise<Client> {
    const client = createClient({ url: servers[1]?.url ?? '', key });
    await client.me();
    return client;
  }

  async function refusedAs(client: Client, code: string): Promise<void> {
    const since = performance.now();
    await waitFor(async () => (await client.me().catch((error: unknown) => error)) instanceof ClientError, {
      timeoutMs: PROMISED_MS,
      what: 'the other server to refuse the key',
    });
    assert.ok(performance.now() - since < PROMISED_MS);
    await assert.rejects(client.agents.list(), (error) => error instanceof ClientError && error.code === code);
  }

  const newKey = async (body: Parameters<Client['keys']['create']>[0]) => {
    const made = await one.keys.create(body);
    return { id: made.id, key: made.key ?? assert.fail('the key is shown') };
  };

  it('a key', async () => {
    const { id, key } = await newKey({ name: 'ci' });
    const other = await clientOfOther(key);
    await one.keys.revoke(id);
    await refusedAs(other, 'credentials_invalid');
  });

  it('a role, down to reading', async () => {
    const { id, key } = await newKey({ name: 'ci', role: 'member' });
    const other = await clientOfOther(key);
    const made = await other.agents.create({ name: 'before', model: 'demo' });
    await one.keys.update(id, { role: 'viewer' });
    await assert.rejects(
      other.agents.create({ name: 'after', model: 'demo' }),
      (error) => error instanceof ClientError && error.code === 'permission_denied',
    );
    assert.equal((await other.agents.get(made.id)).name, 'before');
  });

  it('a tenant, and what its key has open there', async () => {
    const { key } = await one.tenants.create({ id: 'acme', name: 'Acme' });
    const other = await clientOfOther(key ?? '');
    const agent = await other.agents.create({ name: 'a', model: 'demo' });
    const environment = await other.environments.create({ name: 'e' });
    const session = await other.sessions.create({ agent: agent.id, environment_id: environment.id });
    const stream = await fetch(`${servers[1]?.url}/v1/sessions/${session.id}/events/stream`, { headers: { 'x-api-key': key ?? '' } });
    const reader = stream.body?.getReader();
    await reader?.read();
    await one.tenants.suspend('acme');
    await refusedAs(other, 'tenant_suspended');
    const isCut = async () => {
      while ((await reader?.read())?.done === false);
      return true;
    };
    assert.ok(await isCut().catch(() => true), 'the stream is cut');
    await one.tenants.resume('acme');
    assert.equal((await other.me()).tenant.name, 'Acme');
  });
});
