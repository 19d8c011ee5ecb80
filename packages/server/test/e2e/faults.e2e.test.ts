import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createClient, type EnvironmentCreate, type SessionEvent } from '@cloister/api';
import { containersOf, engineMissing } from '../support/engine.ts';
import { relayEngine } from '../support/engine-relay.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const ROOM_MS = 30_000;

async function sessionIn(server: ServerProcess, config?: EnvironmentCreate['config']) {
  const client = createClient({ url: server.url, key: ADMIN_KEY });
  const agent = (await client.agents.list()).data[0];
  const environment = await client.environments.create({ name: 'fault', config });
  const session = await client.sessions.create({ agent: agent?.id ?? '', environment_id: environment.id });
  const say = (text: string, wait = 60) => client.events.send(session.id, [{ type: 'user.message', content: text }], { wait });
  return { client, session, say };
}

/** The error that the session's log tells, which is what a chat or a page shows. */
function toldError(events: readonly SessionEvent[] | undefined): { code: string; fix: string } {
  const event = events?.find((one) => one.type === 'session.error');
  assert.ok(event?.type === 'session.error', 'the session tells the error');
  return event.error;
}

async function needsEngine(t: TestContext): Promise<boolean> {
  const missing = await engineMissing();
  if (missing !== false) t.skip(missing);
  return missing !== false;
}

describe('what goes wrong around a sandbox', () => {
  it('a missing image is named, with what to do', async (t) => {
    if (await needsEngine(t)) return;
    await using server = await startServerProcess({ env: {} });
    const { say } = await sessionIn(server, { type: 'container', image: 'cloister-no-such-image:1' });
    const { turn, events } = await say('hello');
    assert.equal(turn?.outcome, 'failed');
    assert.equal(turn?.error?.code, 'image_missing');
    assert.match(toldError(events).fix, /npm run image/);
  });

  it('an agent without enough memory is reported as such', async (t) => {
    if (await needsEngine(t)) return;
    await using server = await startServerProcess({ env: {} });
    const { say } = await sessionIn(server, { type: 'container', memory: '64m', pids: 64 });
    const { turn, events } = await say('run node -e "const a=[]; for(;;) a.push(Buffer.alloc(1e6, 1))"');
    // Either the agent itself was too large, or only the program it ran: both are said.
    const result = events?.find((one) => one.type === 'agent.tool_result');
    const isTold =
      turn?.error?.code === 'sandbox_out_of_memory' ||
      (result?.type === 'agent.tool_result' && /137|SIGKILL|[Kk]illed/.test(JSON.stringify(result)));
    assert.ok(isTold, JSON.stringify({ turn, result }));
  });

  it('an engine that stops is told in the session and in the health, and the turn is tried again until it is back', async (t) => {
    if (await needsEngine(t)) return;
    const directory = await mkdtemp(path.join(os.tmpdir(), 'engine-'));
    const socketPath = path.join(directory, 'docker.sock');
    let engine = await relayEngine(socketPath);
    try {
      await using server = await startServerProcess({ env: { DOCKER_HOST: `unix://${socketPath}`, RETRY_BASE_SECONDS: '3' } });
      const { client, session, say } = await sessionIn(server);
      await engine.close();
      const first = say('hello');
      const error = await waitFor(
        async () => {
          const { data } = await client.events.list(session.id, { order: 'asc', limit: 100 });
          return data.some((event) => event.type === 'session.error') ? toldError(data) : undefined;
        },
        { timeoutMs: ROOM_MS, what: 'the session to tell the error' },
      );
      assert.equal(error.code, 'runtime_unreachable');
      assert.ok(error.fix.length > 0);
      const health = await waitFor(
        async () => {
          const now = await client.health();
          return now.status === 'degraded' ? now : undefined;
        },
        { timeoutMs: ROOM_MS, what: 'the health to say it' },
      );
      assert.equal(health.checks.runtime?.status, 'degraded');
      engine = await relayEngine(socketPath);
      assert.equal((await first).turn?.outcome, 'completed');
      assert.equal((await say('hello again')).turn?.outcome, 'completed');
    } finally {
      await engine.close();
      await rm(directory, { recursive: true, force: true });
    }
  });

  it('stops an idle sandbox, and the next message brings the session back', async (t) => {
    if (await needsEngine(t)) return;
    await using server = await startServerProcess({ env: { SANDBOX_IDLE_SECONDS: '1' } });
    const { session, say } = await sessionIn(server);
    await say('write kept.txt: still here');
    await waitFor(async () => (await containersOf(`cloister.session=${session.id}`)).length === 0, {
      timeoutMs: ROOM_MS,
      what: 'the idle sandbox to stop',
    });
    const { turn, events } = await say('read kept.txt');
    assert.equal(turn?.outcome, 'completed');
    assert.match(JSON.stringify(events), /still here/);
  });

  it('accepts nothing on a full disk, keeps what it has, and goes on when there is room', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('needs root, to mount a small disk');
    const disk = await mkdtemp(path.join(os.tmpdir(), 'disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk]);
    try {
      await using server = await startServerProcess({ env: { CLOISTER_RUNTIME: 'fake', DATA_DIR: path.join(disk, 'data') } });
      const { client, session, say } = await sessionIn(server);
      assert.equal((await say('before')).turn?.outcome, 'completed');
      execFileSync('sh', ['-c', `dd if=/dev/zero of=${disk}/fill bs=64k 2>/dev/null || true`]);
      const refusal = await waitFor(
        () =>
          client.events.send(session.id, [{ type: 'user.message', content: 'x'.repeat(200_000) }]).then(
            () => undefined,
            (error: unknown) => error,
          ),
        { timeoutMs: ROOM_MS, what: 'a refusal' },
      );
      assert.ok(refusal instanceof Error && 'status' in refusal && 'code' in refusal);
      assert.equal(refusal.status, 507);
      assert.equal(refusal.code, 'disk_full');
      await rm(path.join(disk, 'fill'));
      const back = await waitFor(() => say('after').catch(() => undefined), { timeoutMs: ROOM_MS, what: 'the server to accept again' });
      assert.equal(back.turn?.outcome, 'completed');
      const seqs = (await client.events.list(session.id, { limit: 1000 })).data.map((event) => event.seq);
      assert.deepEqual(
        seqs,
        seqs.map((_, index) => index + 1),
        'no gap',
      );
    } finally {
      execFileSync('umount', ['-l', disk]);
      await rm(disk, { recursive: true, force: true });
    }
  });

  it('says in one line what is wrong when it cannot start', async (t) => {
    if (await needsEngine(t)) return;
    await assert.rejects(startServerProcess({ env: { DOCKER_HOST: 'unix:///nowhere/docker.sock' } }), (error: Error) => {
      assert.match(error.message, /docker\.sock/);
      assert.doesNotMatch(error.message, /\n\s+at /, 'no stack trace');
      return true;
    });
  });
});
