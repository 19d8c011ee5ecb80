import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SessionEvent } from '@cloister/api';
import { applyEvent, EMPTY_TRANSCRIPT, type Transcript } from './transcript.ts';

interface LogEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Only the fields that the page reads are given. */
const apply = (transcript: Transcript, event: LogEvent): Transcript => applyEvent(transcript, event as unknown as SessionEvent);
const replay = (...events: readonly LogEvent[]): Transcript => events.reduce(apply, EMPTY_TRANSCRIPT);
const text = (value: string) => [{ type: 'text', text: value }];
const start: LogEvent = { type: 'event_start', event: { type: 'agent.message', id: 'm1' } };
const delta = (value: string): LogEvent => ({
  type: 'event_delta',
  event_id: 'm1',
  delta: { type: 'content_delta', index: 0, content: { type: 'text', text: value } },
});
const tool = (permission: string): LogEvent => ({
  type: 'agent.tool_use',
  id: 't1',
  name: 'bash',
  input: { command: 'ls' },
  evaluated_permission: permission,
});

describe('transcript', () => {
  it('grows a preview and settles it with the event', () => {
    const streaming = replay(start, delta('Hel'), delta('lo'));
    assert.deepEqual(streaming.entries, [{ type: 'agent', id: 'm1', text: 'Hello', isStreaming: true }]);
    const settled = apply(streaming, { type: 'agent.message', id: 'm1', content: text('Hello!') });
    assert.deepEqual(settled.entries, [{ type: 'agent', id: 'm1', text: 'Hello!', isStreaming: false }]);
  });

  it('drops a preview whose model call failed', () => {
    assert.deepEqual(replay(start, delta('Hel'), { type: 'span.model_request_end', id: 's1', is_error: true }).entries, []);
  });

  it('shows an event once however often it comes', () => {
    const message: LogEvent = { type: 'user.message', id: 'u1', content: text('hi') };
    assert.equal(replay(message, message).entries.length, 1);
  });

  it('follows a tool call through permission to its result', () => {
    const asked = replay(tool('ask'), {
      type: 'session.status_idle',
      id: 'i1',
      stop_reason: { type: 'requires_action', event_ids: ['t1'] },
    });
    assert.equal(asked.status, 'waiting');
    assert.equal(asked.entries[0]?.type === 'tool' && asked.entries[0].state, 'asking');
    const allowed = apply(asked, { type: 'user.tool_confirmation', id: 'c1', tool_use_id: 't1', result: 'allow' });
    assert.equal(allowed.entries[0]?.type === 'tool' && allowed.entries[0].state, 'running');
    const done = apply(allowed, { type: 'agent.tool_result', id: 'r1', tool_use_id: 't1', content: text('a.txt'), is_error: false });
    assert.deepEqual(done.entries, [{ type: 'tool', id: 't1', name: 'bash', input: { command: 'ls' }, state: 'done', result: 'a.txt' }]);
  });

  it('names a tool of an MCP server as rules do, and follows it by its own result', () => {
    const called: LogEvent = { ...tool('allow'), type: 'agent.mcp_tool_use', mcp_server_name: 'docs', name: 'find.page' };
    const done = replay(called, {
      type: 'agent.mcp_tool_result',
      id: 'r1',
      mcp_tool_use_id: 't1',
      content: text('found'),
      is_error: false,
    });
    const [entry] = done.entries;
    assert.deepEqual(entry?.type === 'tool' && [entry.name, entry.state, entry.result], ['mcp__docs__find_page', 'done', 'found']);
  });

  it('keeps a denied call denied when its result says so too', () => {
    const denied = replay(
      tool('ask'),
      { type: 'user.tool_confirmation', id: 'c1', tool_use_id: 't1', result: 'deny' },
      { type: 'agent.tool_result', id: 'r1', tool_use_id: 't1', content: text('denied'), is_error: true },
    );
    assert.equal(denied.entries[0]?.type === 'tool' && denied.entries[0].state, 'denied');
  });

  it('tells a failure once, though two events carry it', () => {
    const error = { type: 'model_overloaded_error', code: 'model_overloaded', message: 'Busy.', fix: 'Wait.' };
    const failed = replay(
      { type: 'session.error', id: 'e1', error },
      { type: 'session.status_idle', id: 'i1', stop_reason: { type: 'retries_exhausted' } },
      { type: 'turn.ended', id: 'x1', outcome: 'failed', stop_reason: null, error },
    );
    assert.deepEqual(failed.entries, [{ type: 'failure', id: 'e1', failure: error }]);
  });

  it('closes what was open when a turn is cancelled', () => {
    const stopped = replay(tool('allow'), start, delta('half'), { type: 'turn.ended', id: 'x1', outcome: 'cancelled', error: null });
    assert.deepEqual(
      stopped.entries.map((entry) => (entry.type === 'tool' ? entry.state : entry.type)),
      ['stopped', 'note'],
    );
  });

  it('tolerates event types it does not know', () => {
    assert.deepEqual(replay({ type: 'brand.new', id: 'n1' }), EMPTY_TRANSCRIPT);
  });
});
