import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventSchema } from '@cloister/api';
import { openRecordedTurn } from '../../test/support/recorded-turn.ts';
import { createObserverRelay } from '../sandboxes/observer-relay.ts';
import { toWireEvent } from '../sessions/wire.ts';
import { TENANT } from '../store/conformance/kit.ts';

test('a turn is told once of an MCP server whose token is no longer good, also when that showed before it began', async () => {
  const { store, sessionId, recorder } = await openRecordedTurn();
  const relay = createObserverRelay();
  const refusal = { server: 'docs', message: 'The token endpoint answered 400 with invalid_grant.' };
  for (let times = 0; times < 2; times++) relay.onMcpRefusal?.(refusal);
  relay.use(recorder.observer);
  relay.onMcpRefusal?.(refusal);
  await recorder.flush();
  const { data } = await store.events.list({ tenantId: TENANT, sessionId, types: ['session.error'], limit: 10, order: 'asc' });
  const errors = data.map((event) => eventSchema.parse(toWireEvent(event)));
  assert.deepEqual(
    errors.map((event) => event.type === 'session.error' && [event.error.type, event.error.mcp_server_name, event.error.message]),
    [['mcp_authentication_failed_error', 'docs', refusal.message]],
  );
  assert.equal(recorder.hasOutput(), false, 'the turn may still be tried again');
  await store.close();
});
