import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { createClient, type SessionEvent } from '@cloister/api';
import { engineMissing } from '../support/engine.ts';
import { skipWithoutLoopMounts } from '../support/loop-mounts.ts';
import { ADMIN_KEY, startServerProcess } from '../support/server-process.ts';

const MIB = 1024 ** 2;

const results = (events: readonly SessionEvent[] | undefined): string =>
  JSON.stringify(events?.filter((event) => event.type === 'agent.tool_result'));

it('a sandbox meets the end of its disk, and has room again once something is deleted', async (t) => {
  const missing = (await engineMissing()) || skipWithoutLoopMounts;
  if (missing !== false) return t.skip(missing);
  await using server = await startServerProcess({ env: { PRESTART_SANDBOXES: 'false' } });
  const client = createClient({ url: server.url, key: ADMIN_KEY });
  const agent = (await client.agents.list()).data[0]?.id ?? '';
  const environment = await client.environments.create({ name: 'small', config: { type: 'container', disk: '64m' } });
  const { id } = await client.sessions.create({ agent, environment_id: environment.id });
  const say = (text: string) => client.events.send(id, [{ type: 'user.message', content: text }], { wait: 120 });
  assert.equal((await client.workspace(id)).quota, 'enforced');
  const full = await say('run echo kept > note; head -c 100000000 /dev/zero > big; echo ended with $?; mount | grep " /workspace "');
  assert.equal(full.turn?.outcome, 'completed');
  assert.match(results(full.events), /No space left on device[\s\S]*ended with 1/);
  assert.match(results(full.events), /nosuid,nodev/);
  const { used_bytes: used } = await client.workspace(id);
  assert.ok(used > 32 * MIB && used <= 64 * MIB, String(used));
  await assert.rejects(client.files.write(id, 'more', new Uint8Array(4 * MIB)), { code: 'workspace_full' });
  await client.files.remove(id, 'big');
  assert.equal((await say('run cat note; head -c 1000000 /dev/zero > small; echo ended with $?')).turn?.outcome, 'completed');
  await client.sessions.remove(id);
  assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(id));
});
