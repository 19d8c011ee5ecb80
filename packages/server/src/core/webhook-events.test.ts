import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventSchema, WEBHOOK_EVENT_TYPES } from '@cloister/api';
import type { JsonObject } from '../base/json.ts';
import { webhookMessages } from './webhook-events.ts';

const logged = (type: string, payload: JsonObject = {}) => ({ id: 'evt_1', type, payload, sessionId: 'ses_1', turnId: 'trn_1', seq: 7 });
const place = { session_id: 'ses_1', turn_id: 'trn_1', seq: 7 };

describe('webhooks of logged events', () => {
  it('tell of the session, under the id of the event', () => {
    assert.deepEqual(webhookMessages(logged('session.status_running')), [
      { id: 'evt_1', type: 'session.status_run_started', data: { id: 'ses_1', ...place } },
    ]);
  });

  it('tell apart who waits for a person, each under an id of its own', () => {
    const idle = (type: string) => webhookMessages(logged('session.status_idle', { stop_reason: { type } }));
    assert.deepEqual(
      idle('end_turn').map(({ id, type }) => [id, type]),
      [['evt_1', 'session.status_idled']],
    );
    assert.deepEqual(
      idle('requires_action').map(({ id, type }) => [id, type]),
      [
        ['evt_1', 'session.status_idled'],
        ['evt_1-1', 'session.requires_action'],
      ],
    );
  });

  it('tell how a turn ended, but not what was said', () => {
    const payload = { outcome: 'failed', stop_reason: null, event_id: 'evt_0', error: { code: 'model_overloaded', message: 'a secret' } };
    assert.deepEqual(webhookMessages(logged('turn.ended', payload)), [
      {
        id: 'evt_1',
        type: 'cloister.turn.ended',
        data: { id: 'trn_1', ...place, outcome: 'failed', stop_reason: null, error_code: 'model_overloaded', event_id: 'evt_0' },
      },
    ]);
  });

  it('are of known types, and of none for what carries content', () => {
    const types = eventSchema.options.map((option) => option.shape.type.value);
    const made = new Map(types.map((type) => [type, webhookMessages(logged(type)).map((one) => one.type)]));
    for (const sent of made.values()) for (const type of sent) assert.ok(WEBHOOK_EVENT_TYPES.includes(type), type);
    for (const [type, sent] of made) if (/^(user|agent|span)\./.test(type)) assert.deepEqual(sent, [], type);
  });
});
