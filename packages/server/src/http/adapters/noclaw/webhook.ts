import { createHmac } from 'node:crypto';
import { detailErrorSchema, type NoclawWebhook, noclawAcceptedSchema, noclawReplySchema, noclawWebhookSchema } from '@cloister/api';
import { toTimestamp } from '../../../base/clock.ts';
import { invariant, PlatformError } from '../../../base/errors.ts';
import { newId } from '../../../base/ids.ts';
import type { SupportedEvent } from '../../../sessions/supported-events.ts';
import type { AppContext, HttpDeps } from '../../context.ts';
import { readIdempotencyKey } from '../../idempotency.ts';
import { type RouteTable, route } from '../../openapi.ts';
import { ask } from '../ask.ts';
import { detailStatus } from '../detail-errors.ts';
import { NO_TASKS } from './answers.ts';
import { ADAPTER, conversationOf } from './conversation.ts';

export function webhookRoute(table: RouteTable): void {
  const { deps } = table;
  route(
    table,
    {
      method: 'post',
      path: '/webhook',
      operationId: 'noclawWebhook',
      summary: 'Send a message of a user; the answer comes at once, or to `callback_url`',
      tag: 'NoClaw',
      headers: { 'Idempotency-Key': 'The same key with the same body within 24 h waits for the same answer and sends nothing else' },
      keepsOwnKeys: true,
      body: noclawWebhookSchema,
      response: noclawReplySchema,
      accepted: noclawAcceptedSchema,
      errorSchema: detailErrorSchema,
      errorStatus: detailStatus,
      problems: [
        'callback_refused',
        'turn_timeout',
        'turn_interrupted',
        'approval_awaited',
        'model_unknown',
        'provider_not_configured',
        'idempotency_mismatch',
        'capacity_exhausted',
        'draining',
      ],
    },
    async ({ c, tenantId, body }) => {
      refuseOtherWorkspace(body);
      const secret = body.callback_url ? callbackSecret(c) : undefined;
      const sessionId = await conversationOf(deps, tenantId, body.user);
      const question = { tenantId, sessionId, message: toMessage(body), model: modelOf(deps, body) };
      if (body.callback_url && secret !== undefined)
        return c.json(await sendLater(deps, c, { ...question, user: body.user, url: body.callback_url, secret }), 202);
      const { turn, answer } = await ask(table, c, { ...question, timeoutMs: deps.adapters.noclaw.timeoutMs });
      return {
        status: 'success' as const,
        response: answer.text,
        metadata: metadataOf(deps, { user: body.user, sessionId, turnId: turn.id }),
      };
    },
  );
}

/** The files of a user are found by the user alone, so a path may only say the same. */
function refuseOtherWorkspace({ user, workspace_path: path }: NoclawWebhook): void {
  if (path === null || path === undefined || path.split('/').findLast((part) => part !== '') === user) return;
  throw new PlatformError('request_invalid', {
    detail: 'The workspace is that of the user; leave workspace_path out.',
    fields: [{ pointer: '/workspace_path', message: 'not the workspace of the user' }],
  });
}

/** A hint is followed where it can be. */
function modelOf({ adapters, usual }: HttpDeps, { model_hint: hint }: NoclawWebhook): string | undefined {
  const model = hint ? adapters.noclaw.models[hint] : undefined;
  return model !== undefined && usual.serves(model) ? model : undefined;
}

function toMessage({ message, context }: NoclawWebhook): SupportedEvent {
  const text = { type: 'text' as const, text: message };
  if (context === null || context === undefined || Object.keys(context).length === 0) return { type: 'user.message', content: [text] };
  const told = { type: 'text' as const, text: `What is known about the message that follows, as JSON:\n${JSON.stringify(context)}` };
  return { type: 'user.message', content: [told, text] };
}

/**
 * What the reply is signed with: made from the key of the request, so that only who has the key can tell a signature
 * from another. The key itself is kept nowhere.
 */
function callbackSecret(c: AppContext): string {
  const key = c.req.header('x-api-key')?.trim() || /^Bearer\s+(\S+)\s*$/i.exec(c.req.header('authorization') ?? '')?.[1];
  if (key === undefined) throw new PlatformError('callback_refused');
  return `whsec_${createHmac('sha256', key).update('cloister callback').digest('base64')}`;
}

interface Later {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly message: SupportedEvent;
  readonly model: string | undefined;
  readonly user: string;
  readonly url: string;
  readonly secret: string;
}

async function sendLater(deps: HttpDeps, c: AppContext, later: Later) {
  const { tenantId, sessionId, message, model, user, url, secret } = later;
  const turnId = newId('turn');
  await deps.callbacks.add({ tenantId, turnId, sessionId, adapter: ADAPTER, url, secret, data: { user } });
  const { data } = await deps.sendEvents({ tenantId, sessionId, events: [message], model, turnId, idempotencyKey: readIdempotencyKey(c) });
  const accepted = data[0]?.turn_id;
  invariant(accepted, 'a message has a turn');
  return { status: 'accepted' as const, response: '' as const, metadata: metadataOf(deps, { user, sessionId, turnId: accepted }) };
}

function metadataOf({ clock }: HttpDeps, { user, sessionId, turnId }: { user: string; sessionId: string; turnId: string }) {
  return { user, timestamp: toTimestamp(clock.now()), scheduled_tasks: [...NO_TASKS], session_id: sessionId, turn_id: turnId };
}
