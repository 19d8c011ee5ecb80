import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openRecordedTurn } from '../../test/support/recorded-turn.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import { systemClock } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import type { JsonObject } from '../base/json.ts';
import { parsePermissionRules } from '../core/permission-rules.ts';
import { parseToolRules } from '../core/tools.ts';
import { accept, confirmation, TENANT } from '../store/conformance/kit.ts';
import { createPermissions } from './permissions.ts';

const TOOLS = parseToolRules([{ type: 'agent_toolset_20260401', default_config: { enabled: true }, configs: [] }]);

async function setup() {
  const { store, sessionId, turnId, recorder } = await openRecordedTurn();
  const permissions = createPermissions({
    store,
    clock: systemClock,
    recorder,
    rules: TOOLS,
    permissionRules: parsePermissionRules([{ tool: 'bash', policy: 'ask' }]),
    tenantId: TENANT,
    sessionId,
    turnId,
    earlier: [],
  });
  const decide = (toolCallId: string, rawInput: JsonObject) =>
    permissions.decide({
      sessionId: 'x',
      toolCall: { toolCallId, title: 'bash', rawInput, _meta: { x: { toolName: 'bash' } } },
      options: [],
    });
  const pending = () => store.turns.approvals({ tenantId: TENANT, sessionId, state: 'pending' });
  const nextQuestion = async () => {
    await waitFor(async () => (await pending()).length > 0, { timeoutMs: 10_000, what: 'the question' });
    return (await pending())[0] ?? assert.fail('there is a question');
  };
  const answer = async (id: string, decision: 'granted' | 'denied') => {
    await accept(store, sessionId, [confirmation(id, decision)]);
    await permissions.refresh();
  };
  return { store, decide, nextQuestion, pending, answer };
}

describe('an answer', () => {
  it('is for the arguments that were shown: the same call with others is asked about again', async () => {
    const { store, decide, nextQuestion, answer, pending } = await setup();
    const id = newId('event');
    const first = decide(id, { command: 'ls' });
    const shown = await nextQuestion();
    assert.deepEqual(shown.input, { command: 'ls' });
    await answer(shown.id, 'granted');
    assert.deepEqual(await first, { type: 'allow' });
    const second = decide(id, { command: 'rm -rf /' });
    const again = await nextQuestion();
    assert.deepEqual(again.input, { command: 'rm -rf /' });
    assert.notEqual(again.id, shown.id);
    assert.notEqual(again.inputHash, shown.inputHash);
    await answer(again.id, 'denied');
    assert.equal((await second).type, 'deny');
    assert.deepEqual(await pending(), []);
    await store.close();
  });
});
