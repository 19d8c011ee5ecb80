import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { createClient, type EnvironmentCreate, type SessionEvent } from '@cloister/api';
import { containersOf, docker, engineMissing } from '../support/engine.ts';
import { relayEngine } from '../support/engine-relay.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const ROOM_MS = 120_000;
/** Goes on until it is told to end. */
const WORK = 'run echo begun > begun; until test -e end; do sleep 0.1; done; rm end';
/** Fills the memory, and has the kernel prefer whatever ran before to itself when that is full. */
const HOG = `for one in /proc/[0-9]*; do test $one = /proc/$$ || echo 1000 > $one/oom_score_adj; done
exec node -e 'const held = []; for (;;) held.push(Buffer.alloc(1e6, 1));'`;

async function needsEngine(t: TestContext): Promise<boolean> {
  const missing = await engineMissing();
  if (missing !== false) t.skip(missing);
  return missing !== false;
}

/** A session of the first agent, and what can be seen of it from outside. */
async function openSession(server: ServerProcess, config?: EnvironmentCreate['config']) {
  const client = createClient({ url: server.url, key: ADMIN_KEY });
  const agent = (await client.agents.list()).data[0];
  const environment = await client.environments.create({ name: 'lost', config });
  const { id } = await client.sessions.create({ agent: agent?.id ?? '', environment_id: environment.id });
  const events = async (): Promise<readonly SessionEvent[]> => (await client.events.list(id, { order: 'asc', limit: 1000 })).data;
  const ends = async () => (await events()).filter((event) => event.type === 'turn.ended');
  const say = (text: string) => client.events.send(id, [{ type: 'user.message', content: text }], { wait: 60 });
  return {
    id,
    say,
    container: () =>
      waitFor(async () => (await containersOf(`cloister.session=${id}`))[0], { timeoutMs: ROOM_MS, what: "the session's container" }),
    /** Begins a turn that works until it is stopped, and answers its container once the tool runs. */
    async work(): Promise<string> {
      const before = (await events()).length;
      await client.events.send(id, [{ type: 'user.message', content: WORK }]);
      await waitFor(async () => (await events()).slice(before).some((event) => event.type === 'agent.tool_use'), {
        timeoutMs: ROOM_MS,
        what: 'the tool to be called',
      });
      const [container = ''] = await containersOf(`cloister.session=${id}`);
      await waitFor(() => docker('exec', container, 'cat', 'begun').catch(() => ''), { timeoutMs: ROOM_MS, what: 'the tool to run' });
      await docker('exec', container, 'rm', 'begun');
      return container;
    },
    /** How the `nth` turn of the session ended. */
    end: (nth: number) => waitFor(async () => (await ends())[nth], { timeoutMs: ROOM_MS, what: `the end of turn ${nth}` }),
    async goesOn(text: string): Promise<void> {
      const { turn, events: seen } = await say(`run echo ${text}`);
      assert.equal(turn?.outcome, 'completed', JSON.stringify(turn));
      assert.match(JSON.stringify(seen), new RegExp(text));
    },
  };
}

describe('a sandbox that is lost', () => {
  it('ends its turn with the reason, whatever was done to it, and the session goes on', async (t) => {
    if (await needsEngine(t)) return;
    await using server = await startServerProcess({ env: {} });
    const session = await openSession(server);
    const deeds = [
      { what: 'removed', deed: (container: string) => docker('rm', '-f', container), told: /removed from outside/ },
      { what: 'killed', deed: (container: string) => docker('kill', container), told: /killed from outside of Cloister \(SIGKILL\)/ },
      { what: 'stopped', deed: (container: string) => docker('stop', '-t', '1', container), told: /stopped from outside/ },
      {
        what: 'killed by its host',
        deed: async (container: string) => {
          const pid = Number(await docker('inspect', '-f', '{{.State.Pid}}', container));
          if (process.getuid?.() === 0) process.kill(pid, 'SIGKILL');
          else await docker('kill', container);
        },
        told: process.getuid?.() === 0 ? /ended with signal SIGKILL/ : /killed from outside/,
      },
    ];
    for (const [nth, { what, deed, told }] of deeds.entries()) {
      await deed(await session.work());
      const { outcome, error } = await session.end(nth);
      assert.deepEqual([outcome, error?.code], ['interrupted', 'sandbox_exited'], what);
      assert.match(error?.message ?? '', told, what);
    }
    await session.goesOn('after');
    // The same between two turns: nobody notices but the log.
    await docker('kill', await session.container());
    await session.goesOn('rested');
  });

  it('says that memory ran out when that ended the agent itself', async (t) => {
    if (await needsEngine(t)) return;
    await using server = await startServerProcess({ env: {} });
    const session = await openSession(server, { type: 'container', memory: '256m' });
    const container = await session.work();
    await docker('exec', container, 'sh', '-c', HOG).catch(() => undefined); // It ends with the sandbox.
    const { outcome, error } = await session.end(0);
    assert.equal(error?.code, 'sandbox_out_of_memory', JSON.stringify(error));
    assert.equal(outcome, 'failed');
    await session.goesOn('smaller');
  });

  it('that somebody pauses in the midst of a turn is resumed, and before one too', async (t) => {
    if (await needsEngine(t)) return;
    await using server = await startServerProcess({ env: {} });
    const session = await openSession(server);
    const isRunning = async (container: string) => (await docker('inspect', '-f', '{{.State.Status}}', container)).trim() === 'running';
    const container = await session.work();
    for (const when of ['in the midst of a turn', 'between turns']) {
      await docker('pause', container);
      await waitFor(() => isRunning(container), { timeoutMs: ROOM_MS, what: `the sandbox to go on ${when}` });
      if (when === 'between turns') break;
      await docker('exec', container, 'touch', 'end');
      await session.end(0);
    }
    await session.goesOn('resumed');
    assert.match(server.output(), /it was resumed/);
    const metrics = await (await fetch(`${server.url}/metrics`, { headers: { 'x-api-key': ADMIN_KEY } })).text();
    assert.match(metrics, /cloister_sandboxes_resumed_total 2/);
  });
});

it('an engine that goes away and comes back without its containers: all is noticed, nothing is left, no turn is lost', async (t) => {
  if (await needsEngine(t)) return;
  const directory = await mkdtemp(path.join(os.tmpdir(), 'engine-'));
  const socketPath = path.join(directory, 'docker.sock');
  let engine = await relayEngine(socketPath);
  try {
    await using server = await startServerProcess({
      env: { DOCKER_HOST: `unix://${socketPath}`, RETRY_BASE_SECONDS: '1', MAX_TURN_ATTEMPTS: '10' },
    });
    const [working, resting, surviving] = await Promise.all([openSession(server), openSession(server), openSession(server)]);
    await Promise.all([resting.goesOn('rests'), surviving.goesOn('survives')]);
    const lost = [await working.work(), await resting.container()];
    const kept = await surviving.container();
    await engine.close();
    await docker('rm', '-f', ...lost);
    // A message of the time without an engine waits for it.
    const late = resting.say('run echo late');
    const { outcome, error } = await working.end(0);
    assert.deepEqual([outcome, error?.code], ['interrupted', 'sandbox_exited']);
    engine = await relayEngine(socketPath);
    assert.equal((await late).turn?.outcome, 'completed');
    await working.goesOn('back');
    await surviving.goesOn('again');
    // What no connection holds any more is removed, although it never ended.
    await waitFor(async () => !(await containersOf(`cloister.session=${surviving.id}`)).includes(kept), {
      timeoutMs: ROOM_MS,
      what: 'the cut-off container to be removed',
    });
    for (const { id } of [working, resting, surviving]) assert.ok((await containersOf(`cloister.session=${id}`)).length <= 1);
  } finally {
    await engine.close();
    await rm(directory, { recursive: true, force: true });
  }
});

it('the sockets that a killed server left are gone when the next one has started', async () => {
  await using server = await startServerProcess({ env: { CLOISTER_RUNTIME: 'fake' } });
  const sockets = async () => (await readdir(path.join(server.dataDir, 'run'))).filter((name) => name.startsWith('sbx_'));
  const session = await openSession(server);
  await session.say('hello');
  const left = await sockets();
  assert.equal(left.length, 1);
  await server.kill('SIGKILL');
  assert.deepEqual(await sockets(), left);
  await server.start();
  assert.deepEqual(await sockets(), []);
  assert.deepEqual(await readdir(path.join(server.dataDir, 'run', '.owners')), []);
  const { reconciler } = await createClient({ url: server.url, key: ADMIN_KEY }).status();
  assert.deepEqual(reconciler.removed, { sandboxes: { removed: 0, failures: 0 }, sockets: { removed: 1, failures: 0 } });
});
