import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { createClient } from '@cloister/api';
import { sandboxImageTag } from '../../src/runtime/image.ts';
import { engineMissing } from '../support/engine.ts';
import { GVISOR, ownEngineMissing, startOwnEngine } from '../support/own-engine.ts';
import { ADMIN_KEY, type ServerProcess, startServerProcess } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const ROOM_MS = 120_000;
const IMAGES = [sandboxImageTag('default')];
/** Goes on until it is told to end. */
const WORK = 'run echo begun > begun; until test -e end; do sleep 0.1; done';

async function needs(t: TestContext, ...programs: string[]): Promise<boolean> {
  const missing = (await ownEngineMissing(...programs)) || (await engineMissing());
  if (missing !== false) t.skip(missing);
  return missing !== false;
}

async function openSession(server: ServerProcess, runtime?: string) {
  const client = createClient({ url: server.url, key: ADMIN_KEY });
  const agent = (await client.agents.list()).data[0];
  const config = { type: 'container', ...(runtime === undefined ? {} : { runtime }) } as const;
  const environment = await client.environments.create({ name: 'own engine', config });
  const { id } = await client.sessions.create({ agent: agent?.id ?? '', environment_id: environment.id });
  const events = async () => (await client.events.list(id, { order: 'asc', limit: 1000 })).data;
  return {
    id,
    events,
    send: (text: string) => client.events.send(id, [{ type: 'user.message', content: text }]),
    say: (text: string) => client.events.send(id, [{ type: 'user.message', content: text }], { wait: 120 }),
    /** How the `nth` turn ended. */
    end: (nth: number) =>
      waitFor(async () => (await events()).filter((event) => event.type === 'turn.ended')[nth], {
        timeoutMs: ROOM_MS,
        what: `the end of turn ${nth}`,
      }),
  };
}

it('an engine that is restarted, and one that crashes, in the midst of a turn: the turn is told, nothing is left, sessions go on', {
  timeout: 400_000,
}, async (t) => {
  if (await needs(t)) return;
  await using engine = await startOwnEngine({ images: IMAGES });
  await using server = await startServerProcess({
    env: { CLOISTER_RUNTIME: 'docker', DOCKER_HOST: engine.endpoint, RETRY_BASE_SECONDS: '1', MAX_TURN_ATTEMPTS: '20' },
  });
  const [working, resting] = await Promise.all([openSession(server), openSession(server)]);
  assert.equal((await resting.say('run echo rests')).turn?.outcome, 'completed');
  const containersOf = async (id: string) =>
    (await engine.docker('ps', '-aq', '--filter', `label=cloister.session=${id}`)).split('\n').filter((one) => one !== '');
  for (const [nth, signal] of (['SIGTERM', 'SIGKILL'] as const).entries()) {
    await working.send(WORK);
    await waitFor(
      async () => {
        const [container] = await containersOf(working.id);
        return container !== undefined && engine.docker('exec', container, 'cat', 'begun').catch(() => '');
      },
      { timeoutMs: ROOM_MS, what: 'the tool to run' },
    );
    await engine.stop(signal);
    // A message of the time without an engine waits for it.
    const late = resting.say(`run echo late-${nth}`);
    const { outcome, error } = await working.end(nth * 2);
    assert.deepEqual([outcome, error?.code], ['interrupted', 'sandbox_exited'], signal);
    await engine.start();
    assert.equal((await late).turn?.outcome, 'completed', signal);
    const { turn, events } = await working.say(`run rm -f begun; echo back-${nth}`);
    assert.equal(turn?.outcome, 'completed', signal);
    assert.match(JSON.stringify(events), new RegExp(`back-${nth}`));
    for (const { id } of [working, resting])
      await waitFor(async () => (await containersOf(id)).length <= 1, { timeoutMs: ROOM_MS, what: `what ${signal} left to be removed` });
  }
});

it('a conversation in gVisor, with a tool call and its files kept', { timeout: 300_000 }, async (t) => {
  if (await needs(t, 'runsc')) return;
  await using engine = await startOwnEngine({ images: IMAGES, runtimes: GVISOR });
  await using server = await startServerProcess({ env: { CLOISTER_RUNTIME: 'docker', DOCKER_HOST: engine.endpoint } });
  const session = await openSession(server, 'runsc');
  const first = await session.say('run cat /proc/version > kernel; echo written');
  assert.equal(first.turn?.outcome, 'completed', JSON.stringify(first.turn));
  const told = await session.say('run cat kernel');
  assert.match(JSON.stringify(told.events), /Linux version 4\.4\.0/, "gVisor's own kernel, which always says this version");
  const [container = ''] = (await engine.docker('ps', '-q', '--filter', `label=cloister.session=${session.id}`)).split('\n');
  assert.equal((await engine.docker('inspect', '-f', '{{.HostConfig.Runtime}}', container)).trim(), 'runsc');
});
