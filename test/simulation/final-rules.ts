import { isToolUse } from '../../packages/api/src/index.ts';
import { webhookMessages } from '../../packages/server/src/core/webhook-events.ts';
import { MAX_ATTEMPTS } from '../../packages/server/src/outbox/retry-schedule.ts';
import type { DeliveryRow, WebhookRow } from '../../packages/server/src/store/store.ts';
import { isTerminal } from '../../packages/server/src/store/store.ts';
import type { AcceptedMessage, SimulatedSession } from './clients.ts';
import type { World } from './world.ts';

const ALL = 100_000;

/** What must be true once everything that was asked for has been done. */
export async function checkEnd(world: World, sessions: readonly SimulatedSession[], accepted: readonly AcceptedMessage[]): Promise<void> {
  for (const session of sessions)
    await checkSession(
      world,
      session,
      accepted.filter((message) => message.session === session),
    );
  const tenants = new Set(sessions.map(({ tenantId }) => tenantId));
  for (const tenantId of tenants) {
    const { data } = await world.store.webhooks.list({ tenantId, limit: 100, order: 'asc' });
    for (const webhook of data) await checkWebhook(world, webhook);
  }
}

async function checkSession(world: World, session: SimulatedSession, accepted: readonly AcceptedMessage[]): Promise<void> {
  const { store, history, monitor } = world;
  const { tenantId, id } = session;
  const log = monitor.logs.get(id) ?? [];
  const messages = log.filter(({ type }) => type === 'user.message');
  for (const { text, eventId } of accepted)
    if (!messages.some((event) => event.id === eventId))
      history.violate('nothing is lost', `${text} was accepted as ${eventId}, and is not there`);
  const texts = messages.map(({ payload }) => JSON.stringify(payload.content));
  const twice = texts.find((text, index) => texts.indexOf(text) !== index);
  if (twice !== undefined) history.violate('one key, one message', `${twice} is in the log twice`);
  if (messages.length !== accepted.length)
    history.violate('one key, one message', `${id}: ${messages.length} messages, and ${accepted.length} were answered`);
  const { data: rows } = await store.turns.list({ tenantId, sessionId: id, limit: ALL, order: 'asc' });
  for (const { id: turnId, state, eventId } of rows) {
    const ends = log.filter(({ type, payload }) => type === 'turn.ended' && payload.turn_id === turnId);
    if (!isTerminal(state) || ends.length !== 1) history.violate('one outcome', `${turnId} is ${state} and has ended ${ends.length} times`);
    else if (ends[0]?.payload.outcome !== state)
      history.violate('outcomes stay', `${turnId} is ${state}, and was ${JSON.stringify(ends[0]?.payload.outcome)}`);
    if (!messages.some((event) => event.id === eventId)) history.violate('nothing out of thin air', `${turnId} has no message`);
  }
  if (rows.length !== messages.length) history.violate('one outcome', `${id}: ${messages.length} messages and ${rows.length} turns`);
  const row = await store.sessions.find({ tenantId, id });
  if (row?.state !== 'idle') history.violate('sessions end idle', `${id} is ${row?.state}`);
  const stored = await store.events.listAfter({ tenantId, sessionId: id, after: 0, limit: ALL });
  const isSame = stored.length === log.length && stored.every((event, index) => event.id === log[index]?.id);
  if (!isSame) history.violate('the log stays', `${id}: ${stored.length} events, and ${log.length} were committed`);
  checkTools(world, id);
}

/** A tool's call is in the log of the one attempt that ran it: a turn with one never begins anew. */
function checkTools({ monitor, history }: World, sessionId: string): void {
  const log = monitor.logs.get(sessionId) ?? [];
  for (const [index, event] of log.entries()) {
    if (!isToolUse(event) || event.payload.evaluated_permission === 'ask') continue;
    const again = log.slice(index).find(({ type, turnId }) => type === 'session.status_rescheduled' && turnId === event.turnId);
    if (again !== undefined) history.violate('no tool runs twice', `${event.turnId} was put back after its tool call at ${event.seq}`);
  }
}

async function checkWebhook({ store, monitor, history }: World, webhook: WebhookRow): Promise<void> {
  const { tenantId, id: targetId } = webhook;
  const { data } = await store.outbox.list({ tenantId, targetId, limit: ALL, order: 'asc' });
  const byMessage = Map.groupBy(data, ({ messageId }) => messageId);
  for (const [messageId, rows] of byMessage)
    if (rows.length > 1) history.violate('one delivery for each event', `${messageId} has ${rows.length}`);
  for (const row of data) checkDelivery(row, monitor.receipts.get(`${webhook.url} ${row.messageId}`) ?? 0);
  // One that was disabled is told nothing more.
  if (!webhook.isEnabled) return;
  const events = [...monitor.logs.values()].flat().filter((event) => event.tenantId === tenantId && event.type !== 'delivery.failed');
  for (const message of events.flatMap(webhookMessages)) {
    if (!webhook.events.includes('*') && !webhook.events.includes(message.type)) continue;
    if (!byMessage.has(message.id))
      history.violate('every event is told', `${message.type} ${message.id} has no delivery to ${webhook.url}`);
  }

  function checkDelivery({ id, state, attempt, failures, lastStatus, leaseOwner }: DeliveryRow, receipts: number): void {
    if (state !== 'sent' && state !== 'failed') history.violate('queues end empty', `${id} is ${state}`);
    if (leaseOwner !== null) history.violate('queues end empty', `${id} is leased`);
    if (state === 'sent' && receipts === 0) history.violate('sent means received', `${id} never arrived at ${webhook.url}`);
    const wasRejected = lastStatus === 410 || !webhook.isEnabled;
    if (state === 'failed' && !wasRejected && failures < MAX_ATTEMPTS)
      history.violate('failed means tried', `${id} failed after ${failures} of ${attempt}`);
  }
}
