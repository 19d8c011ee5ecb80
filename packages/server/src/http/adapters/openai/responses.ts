import { PROBLEM_KINDS, PROBLEMS } from '@cloister/api';
import { PlatformError, toPlatformError } from '../../../base/errors.ts';

import { toTurn, toWireEvent } from '../../../sessions/wire.ts';
import type { TurnRow } from '../../../store/store.ts';
import type { HttpDeps } from '../../context.ts';
import { toEnvelope } from '../../errors.ts';
import type { RouteTable } from '../../openapi.ts';
import { frameStream, STREAM_HEADERS } from '../frames.ts';
import { type Answer, createTally, interrupt, wholeAnswer } from './answer.ts';
import { type Accepted, accept, remember } from './conversation.ts';
import { toError } from './errors.ts';
import { answered, fingerprint, type Told, toldByInput } from './history.ts';
import { fromOpenAiId } from './ids.ts';
import { refuseUnsupported } from './refusals.ts';
import { type ResponseRequest, responseRequestSchema } from './requests.ts';
import { type ResponseAbout, type ResponseObject, responseSchema, toResponse } from './response-object.ts';
import { responseFrames } from './response-stream.ts';
import { answerHeaders, openAiRoute, readRepeat } from './route.ts';

export function responseRoutes(table: RouteTable): void {
  createRoute(table);
  const { deps } = table;
  const MISSING = ['turn_not_found'] as const;
  openAiRoute(
    table,
    {
      method: 'get',
      path: '/v1/responses/{id}',
      operationId: 'getResponse',
      summary: 'A response, as far as it is',
      response: responseSchema,
      problems: MISSING,
    },
    async ({ tenantId, param }) => retrieve(deps, await requireTurn(deps, tenantId, param('id'))),
  );
  openAiRoute(
    table,
    {
      method: 'post',
      path: '/v1/responses/{id}/cancel',
      operationId: 'cancelResponse',
      summary: 'Interrupt the turn of a response',
      response: responseSchema,
      problems: [...MISSING, 'turn_ended', 'session_archived', 'draining'],
    },
    async ({ tenantId, param }) => {
      const turn = await requireTurn(deps, tenantId, param('id'));
      await deps.turns.cancel({ tenantId, sessionId: turn.sessionId, turnId: turn.id });
      return retrieve(deps, await requireTurn(deps, tenantId, param('id')));
    },
  );
}

function createRoute(table: RouteTable): void {
  const { deps, limits } = table;
  openAiRoute(
    table,
    {
      method: 'post',
      path: '/v1/responses',
      operationId: 'createResponse',
      summary: 'An answer of an agent, as a response',
      body: responseRequestSchema,
      response: responseSchema,
      alsoAnswers: { mediaType: 'text/event-stream', description: 'With `stream`: the events of OpenAI’s Responses API' },
    },
    async ({ c, tenantId, body }) => {
      refuseUnsupported(body);
      const told = toldByInput(body);
      const leave = limits.streams.take(tenantId);
      try {
        const turn = await accept(deps, {
          tenantId,
          model: body.model,
          told,
          user: body.user ?? undefined,
          metadata: body.metadata ?? {},
          previousResponse: body.previous_response_id ?? undefined,
          conversation: conversationOf(body),
          repeat: readRepeat(c, body),
        });
        c.get('flight').land();
        const about = aboutOf(turn, body, deps.clock.now());
        const headers = answerHeaders(turn, body);
        if (body.stream === true) {
          const stream = responseStream(deps, { turn, about, onEnd: leave });
          return c.body(stream, 200, { ...headers, ...STREAM_HEADERS });
        }
        if (about.background) {
          leave();
          return c.json(toResponse(about, undefined, deps.clock.now(), 'queued'), 200, headers);
        }
        const answer = await wholeAnswer(deps, turn, c.req.raw.signal);
        await rememberAnswer(deps, turn, told, answer);
        leave();
        return c.json(toResponse(about, answer, deps.clock.now()), 200, headers);
      } catch (error) {
        leave();
        throw error;
      }
    },
  );
}

function conversationOf({ conversation, previous_response_id: previous }: ResponseRequest): string | undefined {
  const id = typeof conversation === 'string' ? conversation : conversation?.id;
  if (id !== undefined && typeof previous === 'string')
    throw new PlatformError('request_invalid', {
      detail: 'A request goes on with a conversation or after a response, not both.',
      fields: [{ pointer: '/conversation', message: 'not beside previous_response_id' }],
    });
  return id;
}

/** Clients that keep the history themselves do so with either API. */
async function rememberAnswer(deps: HttpDeps, turn: Accepted, told: Told, { outcome, messages }: Answer): Promise<void> {
  if (outcome !== 'completed' || messages.length !== 1) return;
  await remember(deps, turn, fingerprint(turn.agent.id, told.system, answered(told, messages[0]?.text ?? '')));
}

function aboutOf(turn: Accepted, body: ResponseRequest, createdAt: number): ResponseAbout {
  return {
    turnId: turn.turnId,
    sessionId: turn.sessionId,
    model: body.model,
    createdAt,
    background: body.background === true,
    instructions: body.instructions ?? null,
    previous: body.previous_response_id ?? null,
    metadata: body.metadata ?? {},
  };
}

function responseStream(
  deps: HttpDeps,
  { turn, about, onEnd }: { readonly turn: Accepted; readonly about: ResponseAbout; readonly onEnd: () => void },
): ReadableStream<Uint8Array> {
  const abort = new AbortController();
  return frameStream(deps, {
    frames: responseFrames(deps, { turn, about }, abort.signal),
    abort,
    onError: errorFrame,
    onEnd(how) {
      onEnd();
      // What goes on in the background does so whether somebody looks or not.
      if (how === 'left' && !about.background) void interrupt(deps, turn);
    },
  });
}

function errorFrame(thrown: unknown): string {
  const error = toPlatformError(thrown);
  const { status } = PROBLEM_KINDS[PROBLEMS[error.code].kind];
  const { message, code, param } = toError(status, toEnvelope(error, '', error.retryAfterMs).error);
  return `event: error\ndata: ${JSON.stringify({ type: 'error', sequence_number: 0, message, code, param })}\n\n`;
}

async function requireTurn(deps: HttpDeps, tenantId: string, id: string): Promise<TurnRow> {
  const turn = await deps.store.turns.find({ tenantId, id: fromOpenAiId('response', id) ?? '' });
  if (turn === undefined) throw new PlatformError('turn_not_found', { detail: `There is no response "${id.slice(0, 80)}".` });
  return turn;
}

const PAGE = 1000;

/** From the log: what a response was asked with beside its input is not kept. */
async function retrieve(deps: HttpDeps, row: TurnRow): Promise<ResponseObject> {
  const { tenantId, sessionId } = row;
  const tally = createTally();
  let page: string | undefined;
  do {
    const next = await deps.store.events.list({ tenantId, sessionId, turnId: row.id, limit: PAGE, order: 'asc', page });
    for (const event of next.data) tally.take({ type: 'event', event: toWireEvent(event) });
    page = next.next ?? undefined;
  } while (page !== undefined);
  const turn = toTurn(row);
  const about: ResponseAbout = {
    turnId: row.id,
    sessionId,
    model: row.agentId,
    createdAt: row.createdAt,
    background: true,
    instructions: null,
    previous: null,
    metadata: {},
  };
  return toResponse(about, tally.answer(), row.endedAt ?? deps.clock.now(), turn.state);
}
