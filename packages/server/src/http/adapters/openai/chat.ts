import { PROBLEM_KINDS, PROBLEMS } from '@cloister/api';
import { z } from 'zod';
import { toPlatformError } from '../../../base/errors.ts';
import type { HttpDeps } from '../../context.ts';
import { toEnvelope } from '../../errors.ts';
import type { RouteTable } from '../../openapi.ts';
import { followTurn } from '../follow-turn.ts';
import { frameStream, STREAM_HEADERS } from '../frames.ts';
import { createTally, failureOf, interrupt, SEPARATOR, type Usage, wholeAnswer } from './answer.ts';
import { type Accepted, accept, remember } from './conversation.ts';
import { toError } from './errors.ts';
import { answered, fingerprint, type Told, toldByChat } from './history.ts';
import { toOpenAiId } from './ids.ts';
import { refuseUnsupported } from './refusals.ts';
import { type ChatRequest, chatRequestSchema } from './requests.ts';
import { answerHeaders, openAiRoute, readRepeat } from './route.ts';

const usageSchema = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
});

const completionSchema = z.object({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.literal(0),
      message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
      logprobs: z.null(),
      finish_reason: z.literal('stop'),
    }),
  ),
  usage: usageSchema,
  session_id: z.string().describe('The session that answered; extension'),
});

export function chatRoutes(table: RouteTable): void {
  const { deps, limits } = table;
  openAiRoute(
    table,
    {
      method: 'post',
      path: '/v1/chat/completions',
      operationId: 'createChatCompletion',
      summary: 'An answer of an agent, as a chat completion',
      body: chatRequestSchema,
      response: completionSchema,
      alsoAnswers: { mediaType: 'text/event-stream', description: 'With `stream`: chunks, and `data: [DONE]`' },
    },
    async ({ c, tenantId, body }) => {
      refuseUnsupported(body);
      const told = toldByChat(body);
      const leave = limits.streams.take(tenantId);
      try {
        const turn = await accept(deps, {
          tenantId,
          model: body.model,
          told,
          user: body.user ?? undefined,
          metadata: body.metadata ?? {},
          repeat: readRepeat(c, body),
        });
        c.get('flight').land();
        const headers = answerHeaders(turn, body);
        if (body.stream === true)
          return c.body(chatStream(deps, { turn, told, body, onEnd: leave }), 200, { ...headers, ...STREAM_HEADERS });
        const answer = await wholeAnswer(deps, turn, c.req.raw.signal);
        const failure = failureOf(answer);
        if (failure !== undefined) throw failure;
        const text = answer.messages.map((message) => message.text).join(SEPARATOR);
        await rememberAnswer(deps, turn, told, text);
        leave();
        return c.json(completion(turn, deps.clock.now(), body, text, answer.usage), 200, headers);
      } catch (error) {
        leave();
        throw error;
      }
    },
  );
}

function rememberAnswer(deps: HttpDeps, turn: Accepted, told: Told, text: string): Promise<void> {
  return remember(deps, turn, fingerprint(turn.agent.id, told.system, answered(told, text)));
}

function completion(turn: Accepted, now: number, { model }: ChatRequest, content: string, usage: Usage): z.infer<typeof completionSchema> {
  return {
    id: toOpenAiId('chat', turn.turnId),
    object: 'chat.completion',
    created: Math.floor(now / 1000),
    model,
    choices: [{ index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: null, finish_reason: 'stop' }],
    usage: toUsage(usage),
    session_id: turn.sessionId,
  };
}

function toUsage({ input, cached, output }: Usage): z.infer<typeof usageSchema> {
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: cached },
  };
}

interface ChatStream {
  readonly turn: Accepted;
  readonly told: Told;
  readonly body: ChatRequest;
  readonly onEnd: () => void;
}

function chatStream(deps: HttpDeps, input: ChatStream): ReadableStream<Uint8Array> {
  const abort = new AbortController();
  return frameStream(deps, {
    frames: chatFrames(deps, input, abort.signal),
    abort,
    onError: errorFrame,
    onEnd(how) {
      input.onEnd();
      if (how === 'left') void interrupt(deps, input.turn);
    },
  });
}

async function* chatFrames(deps: HttpDeps, { turn, told, body }: ChatStream, signal: AbortSignal): AsyncGenerator<string> {
  const created = Math.floor(deps.clock.now() / 1000);
  const hasUsage = body.stream_options?.include_usage === true;
  const chunk = (choices: readonly object[], usage: object | null = null) =>
    frame({
      id: toOpenAiId('chat', turn.turnId),
      object: 'chat.completion.chunk',
      created,
      model: body.model,
      choices,
      ...(hasUsage ? { usage } : {}),
    });
  const delta = (fields: object, finish: 'stop' | null = null) =>
    chunk([{ index: 0, delta: fields, logprobs: null, finish_reason: finish }]);
  const tally = createTally();
  let whole = '';
  let lastId: string | undefined;
  yield delta({ role: 'assistant', content: '', refusal: null });
  for await (const item of followTurn(deps, { ...turn, signal })) {
    tally.take(item);
    if (item.type !== 'text') continue;
    const text = (lastId === undefined || lastId === item.messageId ? '' : SEPARATOR) + item.text;
    lastId = item.messageId;
    whole += text;
    yield delta({ content: text });
  }
  const answer = tally.answer();
  if (answer === undefined) return;
  const failure = failureOf(answer);
  if (failure !== undefined) throw failure;
  await rememberAnswer(deps, turn, told, whole);
  yield delta({}, 'stop');
  if (hasUsage) yield chunk([], toUsage(answer.usage));
  yield 'data: [DONE]\n\n';
}

function frame(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/** What the client throws when the turn fails in the middle of a stream. */
function errorFrame(thrown: unknown): string {
  const error = toPlatformError(thrown);
  const { status } = PROBLEM_KINDS[PROBLEMS[error.code].kind];
  return frame({ error: toError(status, toEnvelope(error, '', error.retryAfterMs).error) });
}
