import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { startTcpProxy, type TcpProxy } from '../../../../../test/support/tcp-proxy.ts';
import { type PostgresStores, skipWithoutOwnPostgres, startPostgresStores } from '../../../test/support/postgres-stores.ts';
import { isPlatformError } from '../../base/errors.ts';
import { append, createSession, getSession, lease, message, queue, readLog, T0, TENANT } from '../conformance/kit.ts';
import type { Store, StoredEvent } from '../store.ts';

type CommitFate = 'answer lost' | 'commit lost' | 'commit never arrives';

/** Lets everything pass but the first COMMIT, after which the connection is gone for the client. */
async function startCommitBreaker(target: { host: string; port: number }) {
  let fate: CommitFate | undefined;
  const sockets = new Set<{ destroy(): void }>();
  const listener = createServer((client) => {
    const server = connect(target);
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    let isBroken = false;
    client.on('data', (chunk) => {
      if (isBroken) return;
      if (fate === undefined || !chunk.includes('COMMIT')) return void server.write(chunk);
      isBroken = true;
      const how = fate;
      fate = undefined;
      if (how === 'answer lost') server.write(chunk, () => server.once('data', () => client.destroy()));
      else if (how === 'commit lost') {
        server.destroy();
        client.destroy();
      }
      // The server is left in the middle of the transaction, and with its locks.
      else client.destroy();
    });
    server.on('data', (chunk) => !isBroken && client.write(chunk));
    client.on('close', () => !isBroken && server.destroy());
    server.on('close', () => client.destroy());
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    port: address.port,
    breakNext: (how: CommitFate) => {
      fate = how;
    },
    isArmed: () => fate !== undefined,
    close: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}

function throughPort(url: string, port: number): string {
  const through = new URL(url);
  through.port = String(port);
  return through.href;
}

describe('a PostgreSQL that goes away', { skip: skipWithoutOwnPostgres, timeout: 180_000 }, () => {
  let stores: PostgresStores;
  let proxy: TcpProxy | undefined;
  before(async () => {
    stores = await startPostgresStores({ own: true });
  });
  after(() => stores.close());
  afterEach(async () => {
    await proxy?.close();
    proxy = undefined;
  });

  /** Sends until told to stop; what was accepted and what was refused. */
  function sender(store: Store, sessionId: string) {
    const accepted: string[] = [];
    const refused: string[] = [];
    let isStopped = false;
    const loop = async (): Promise<void> => {
      while (!isStopped) {
        const input = message();
        await store.turns
          .accept({ tenantId: TENANT, sessionId, events: [input], maxQueuedPerSession: 1e6, now: T0 })
          .then(() => accepted.push(input.id))
          .catch((error: unknown) => {
            assert.ok(isPlatformError(error, 'store_unavailable'), String(error));
            refused.push(input.id);
          });
      }
    };
    const running = Promise.all([loop(), loop(), loop()]);
    return {
      accepted,
      refused,
      async stop() {
        isStopped = true;
        await running;
      },
    };
  }

  const idsOf = (log: readonly StoredEvent[]) => log.map((event) => event.id);

  async function untilWorks(store: Store, limitMs: number): Promise<number> {
    const began = performance.now();
    for (;;) {
      const failure = await store.check({ now: T0 }).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure === undefined) return performance.now() - began;
      assert.ok(isPlatformError(failure, 'store_unavailable'), inspect(failure));
      assert.ok(performance.now() - began < limitMs, `it did not come back in ${limitMs} ms`);
    }
  }

  for (const how of ['fast', 'immediate', 'kill'] as const) {
    test(`stopped (${how}) and started again: nothing accepted is lost or doubled, and it goes on at once`, async () => {
      const store = await stores.open(await stores.createDatabase());
      const { id } = await createSession(store);
      const sending = sender(store, id);
      await queue(store, id);
      if (how === 'kill') await stores.postgres.kill();
      else await stores.postgres.stop(how);
      await stores.postgres.start();
      assert.ok((await untilWorks(store, 5000)) < 5000);
      await queue(store, id);
      await sending.stop();
      const ids = idsOf(await readLog(store, id));
      assert.equal(new Set(ids).size, ids.length, 'none is doubled');
      for (const eventId of sending.accepted) assert.ok(ids.includes(eventId), 'none that was accepted is lost');
      for (const eventId of sending.refused) assert.ok(!ids.includes(eventId), 'none that was refused is there');
      await store.close();
    });
  }

  test('connections that are cut again and again lose and double nothing', async () => {
    const url = await stores.createDatabase();
    proxy = await startTcpProxy({ host: stores.postgres.host, port: stores.postgres.port });
    const store = await stores.open(throughPort(url, proxy.port));
    const { id } = await createSession(store);
    const sending = sender(store, id);
    for (let cut = 0; cut < 25; cut++) {
      const before = sending.accepted.length;
      await queue(store, id);
      proxy.cut();
      while (sending.accepted.length === before) await store.check({ now: T0 }).catch(() => undefined);
    }
    await sending.stop();
    const ids = idsOf(await readLog(store, id));
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(sending.refused.length, 0, 'the database itself was always there');
    assert.equal(ids.length, sending.accepted.length + 25);
    await store.close();
  });

  for (const how of ['answer lost', 'commit lost', 'commit never arrives'] as const) {
    test(`a commit whose connection breaks (${how}) is done once`, async () => {
      const url = await stores.createDatabase();
      const breaker = await startCommitBreaker({ host: stores.postgres.host, port: stores.postgres.port });
      const store = await stores.open(throughPort(url, breaker.port));
      const { id } = await createSession(store);
      await queue(store, id);
      const leased = await lease(store);
      const heard: number[] = [];
      store.events.onCommit((notices) => heard.push(...notices.map(({ toSeq }) => toSeq)));
      breaker.breakNext(how);
      const usage = { inputTokens: 7, outputTokens: 0, cacheReadTokens: 0, cacheCreationTokens: 0 };
      await append(store, leased, { usage });
      assert.equal(breaker.isArmed(), false, 'the commit was broken');
      assert.equal((await getSession(store, id)).usage.inputTokens, 7, 'what has no id is not doubled either');
      breaker.breakNext(how);
      await queue(store, id);
      const log = await readLog(store, id);
      assert.equal(log.filter(({ type }) => type === 'user.message').length, 2);
      assert.deepEqual(heard, [log.length]);
      await store.close();
      breaker.close();
    });
  }

  test('a connection on which nobody answers any more is noticed, and nothing hangs', async () => {
    const url = await stores.createDatabase();
    proxy = await startTcpProxy({ host: stores.postgres.host, port: stores.postgres.port });
    const store = await stores.open(throughPort(url, proxy.port));
    const { id } = await createSession(store);
    await queue(store, id);
    proxy.set('blackhole');
    const began = performance.now();
    const results = await Promise.allSettled([
      queue(store, id),
      store.check({ now: T0 }),
      readLog(store, id),
      queue(store, id),
      queue(store, id),
    ]);
    const took = performance.now() - began;
    assert.ok(took < 20_000, `noticed after ${took} ms`);
    for (const result of results) assert.ok(result.status === 'rejected' && isPlatformError(result.reason, 'store_unavailable'));
    proxy.set('pass');
    assert.ok((await untilWorks(store, 5000)) < 5000);
    assert.equal((await readLog(store, id)).length, 1);
    await store.close();
  });
});
