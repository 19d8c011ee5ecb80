import { countTokens, type Json, records, text } from './json.ts';
import type { Answer, Entry } from './script.ts';
import { type Frames, frame, type RenderContext, type Wire } from './wire.ts';

const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};

/** `POST /v1/messages`. */
export const anthropicWire: Wire = {
  name: 'anthropic',
  readEntries,
  isStream: (body) => body.stream === true,
  renderStream,
  renderWhole(answer, context) {
    const blocks = [
      ...(answer.isThinking ? [{ type: 'thinking', thinking: 'let me think', signature: 'ZmFrZQ==' }] : []),
      ...(answer.pieces.length > 0 ? [{ type: 'text', text: answer.pieces.join('') }] : []),
      ...(answer.tool ? [{ type: 'tool_use', id: toolId(context), ...answer.tool }] : []),
    ];
    const usage = usageOf(answer, context);
    return { ...message(context), content: blocks, stop_reason: stopReason(answer), usage: { ...usage.start, ...usage.end } };
  },
  renderError: (status, words) => ({ type: 'error', error: { type: ERROR_TYPES[status] ?? 'api_error', message: words } }),
  renderStreamError: (type) => frame({ type: 'error', error: { type, message: `fake ${type}` } }, 'error'),
};

function readEntries(body: Json): readonly Entry[] {
  const entries: Entry[] = [];
  records(body.messages).forEach((one, message) => {
    // Some agent programs put entries of role `system` between the messages: they are nobody's turn.
    if (one.role !== 'user') return;
    const content = one.content;
    if (typeof content === 'string') entries.push({ from: 'user', text: content, message });
    for (const block of records(content)) {
      if (block.type === 'text') entries.push({ from: 'user', text: text(block.text), message });
      if (block.type === 'tool_result') entries.push({ from: 'tool', text: resultText(block.content) });
    }
  });
  return entries;
}

function resultText(content: unknown): string {
  if (typeof content === 'string') return content;
  return records(content)
    .map((block) => text(block.text))
    .join('\n');
}

function usageOf(answer: Answer, context: RenderContext): { readonly start: Json; readonly end: Json } {
  const output = countTokens(answer.pieces.join('') + JSON.stringify(answer.tool ?? ''));
  const usage = answer.usage ?? {
    input: countTokens(JSON.stringify(context.body.messages ?? '')),
    output,
    cacheRead: 0,
    cacheWrite: 0,
  };
  return {
    start: {
      input_tokens: usage.input,
      cache_creation_input_tokens: usage.cacheWrite,
      cache_read_input_tokens: usage.cacheRead,
      output_tokens: 1,
    },
    end: { output_tokens: usage.output },
  };
}

function message(context: RenderContext): Json {
  return {
    id: `msg_fake_${String(context.seq).padStart(6, '0')}`,
    type: 'message',
    role: 'assistant',
    model: context.body.model ?? 'fake-model',
    content: [],
    stop_reason: null,
    stop_sequence: null,
  };
}

function toolId(context: RenderContext): string {
  return `toolu_fake_${String(context.seq).padStart(6, '0')}`;
}

function stopReason(answer: Answer): string {
  return answer.tool ? 'tool_use' : 'end_turn';
}

function event(type: string, data: Json = {}): string {
  return frame({ type, ...data }, type);
}

function renderStream(answer: Answer, context: RenderContext): Frames {
  const usage = usageOf(answer, context);
  const opening = [event('message_start', { message: { ...message(context), usage: usage.start } })];
  let index = 0;
  if (answer.isThinking) {
    opening.push(
      event('content_block_start', { index, content_block: { type: 'thinking', thinking: '', signature: '' } }),
      event('content_block_delta', { index, delta: { type: 'thinking_delta', thinking: 'let me think' } }),
      event('content_block_delta', { index, delta: { type: 'signature_delta', signature: 'ZmFrZQ==' } }),
      event('content_block_stop', { index: index++ }),
    );
  }
  opening.push(event('content_block_start', { index, content_block: { type: 'text', text: '' } }));
  const pieces = answer.pieces.map((piece) => event('content_block_delta', { index, delta: { type: 'text_delta', text: piece } }));
  const content = [event('content_block_stop', { index: index++ })];
  if (answer.tool) content.push(...toolFrames(answer.tool, index, context));
  const delta = { stop_reason: stopReason(answer), stop_sequence: null };
  return { opening, pieces, content, final: [event('message_delta', { delta, usage: usage.end }), event('message_stop')] };
}

function toolFrames(tool: { readonly name: string; readonly input: Json }, index: number, context: RenderContext): readonly string[] {
  const json = JSON.stringify(tool.input);
  const half = Math.ceil(json.length / 2);
  return [
    event('content_block_start', { index, content_block: { type: 'tool_use', id: toolId(context), name: tool.name, input: {} } }),
    event('content_block_delta', { index, delta: { type: 'input_json_delta', partial_json: json.slice(0, half) } }),
    event('content_block_delta', { index, delta: { type: 'input_json_delta', partial_json: json.slice(half) } }),
    event('content_block_stop', { index }),
  ];
}
