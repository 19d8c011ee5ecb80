import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Clock, delay } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import type { CallTracker } from './call-tracker.ts';
import { NO_USAGE } from './call-tracker.ts';
import { type DemoAnswer, demoAnswer, demoUsage, isDemoRequest } from './demo-model.ts';
import { isRecord, type JsonRecord, parseJson } from './json.ts';
import type { ModelRoute } from './routes.ts';
import { sendWireError } from './wire-response.ts';

export interface DemoCallOptions {
  readonly route: ModelRoute;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly tracker: CallTracker;
  readonly clock: Clock;
  readonly maxBodyBytes: number;
}

const MODEL = 'demo';
/** Small and slow enough that a person sees the text come. */
const PIECE = /[\s\S]{1,16}/g;
const PIECE_MS = 8;

/** Answers a request to the demo model in the form of OpenAI Chat Completions. Rejects only on abort. */
export async function answerDemo(options: DemoCallOptions, signal: AbortSignal): Promise<void> {
  const { request, response, route, tracker } = options;
  if (!route.isGeneration)
    return sendJson(response, { object: 'list', data: [{ id: MODEL, object: 'model', created: 0, owned_by: 'cloister' }] });
  tracker.begin(MODEL);
  const raw = await readBody(request, options.maxBodyBytes);
  signal.throwIfAborted();
  const body = raw === undefined ? undefined : parseJson(raw);
  if (!isDemoRequest(body)) {
    const status = raw === undefined ? 413 : 400;
    const error = { code: 'model_request_rejected', status, message: 'The demo model cannot read this request.' } as const;
    tracker.end(NO_USAGE, { code: error.code, message: error.message, status, retryAfterMs: null }, MODEL);
    return sendWireError(response, route.wire, error);
  }
  const answer = demoAnswer(body);
  const counts = demoUsage(body, answer);
  const end = () => tracker.end({ ...NO_USAGE, inputTokens: counts.prompt, outputTokens: counts.completion }, undefined, MODEL);
  const usage = { prompt_tokens: counts.prompt, completion_tokens: counts.completion, total_tokens: counts.prompt + counts.completion };
  if (body.stream === true) return await stream(options, { answer, usage, withUsage: isUsageWanted(body), end }, signal);
  end();
  sendJson(response, whole(answer, usage));
}

/** Undefined when the body is larger than allowed. */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    const piece = Buffer.from(chunk);
    bytes += piece.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(piece);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function isUsageWanted(body: JsonRecord): boolean {
  const options = body.stream_options;
  return isRecord(options) && options.include_usage === true;
}

interface Stream {
  readonly answer: DemoAnswer;
  readonly usage: JsonRecord;
  readonly withUsage: boolean;
  readonly end: () => void;
}

async function stream(options: DemoCallOptions, { answer, usage, withUsage, end }: Stream, signal: AbortSignal): Promise<void> {
  const { response, clock } = options;
  const head = { id: newId('request'), object: 'chat.completion.chunk', created: Math.floor(clock.now() / 1000), model: MODEL };
  const send = (data: JsonRecord) => response.write(`data: ${JSON.stringify({ ...head, ...data })}\n\n`);
  const choice = (delta: JsonRecord, finish: string | null = null) => send({ choices: [{ index: 0, delta, finish_reason: finish }] });
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
  choice({ role: 'assistant', content: '' });
  for (const piece of answer.text.match(PIECE) ?? []) {
    await delay(clock, PIECE_MS, signal);
    choice({ content: piece });
  }
  if (answer.toolCall !== undefined) choice({ tool_calls: [{ index: 0, ...renderToolCall(answer.toolCall) }] });
  choice({}, answer.toolCall === undefined ? 'stop' : 'tool_calls');
  if (withUsage) send({ choices: [], usage });
  end();
  response.end('data: [DONE]\n\n');
}

function whole(answer: DemoAnswer, usage: JsonRecord): JsonRecord {
  const calls = answer.toolCall === undefined ? {} : { tool_calls: [renderToolCall(answer.toolCall)] };
  const message = { role: 'assistant', content: answer.text, ...calls };
  const choices = [{ index: 0, message, finish_reason: answer.toolCall === undefined ? 'stop' : 'tool_calls' }];
  return { id: newId('request'), object: 'chat.completion', created: 0, model: MODEL, choices, usage };
}

function renderToolCall(call: NonNullable<DemoAnswer['toolCall']>): JsonRecord {
  return { id: newId('request'), type: 'function', function: { name: call.name, arguments: JSON.stringify(call.input) } };
}

function sendJson(response: ServerResponse, body: JsonRecord): void {
  const json = JSON.stringify(body);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) }).end(json);
}
