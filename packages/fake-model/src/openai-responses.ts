import { countTokens, type Json, records, text } from './json.ts';
import type { Answer, Entry } from './script.ts';
import { type Frames, frame, type RenderContext, type Wire } from './wire.ts';

/** `POST /v1/responses`. */
export const openaiResponsesWire: Wire = {
  name: 'openai-responses',
  readEntries,
  isStream: (body) => body.stream === true,
  renderStream,
  renderWhole: (answer, context) => completed(answer, context),
  renderError: (status, words) => ({
    error: { message: words, type: status >= 500 ? 'server_error' : 'invalid_request_error', code: null },
  }),
  renderStreamError: (type) =>
    frame({ type: 'error', sequence_number: 999, error: { type, code: type, message: `fake ${type}`, param: null } }, 'error'),
};

function readEntries(body: Json): readonly Entry[] {
  const input = body.input;
  if (typeof input === 'string') return [{ from: 'user', text: input, message: 0 }];
  const entries: Entry[] = [];
  records(input).forEach((one, message) => {
    if (one.role === 'user') entries.push(...textsOf(one.content).map((said): Entry => ({ from: 'user', text: said, message })));
    if (text(one.type).endsWith('_output')) entries.push({ from: 'tool', text: outputText(one.output) });
  });
  return entries;
}

function textsOf(content: unknown): readonly string[] {
  if (typeof content === 'string') return [content];
  return records(content)
    .filter((part) => part.type === 'input_text' || part.type === 'text')
    .map((part) => text(part.text));
}

function outputText(output: unknown): string {
  return typeof output === 'string' ? output : JSON.stringify(output ?? '');
}

function base(context: RenderContext): Json {
  return {
    id: `resp_fake_${context.seq}`,
    object: 'response',
    created_at: 1_700_000_000,
    model: context.body.model ?? 'fake-model',
    status: 'in_progress',
    output: [],
  };
}

function messageItem(answer: Answer, context: RenderContext): Json {
  const part = { type: 'output_text', text: answer.pieces.join(''), annotations: [] };
  return { id: `msg_${context.seq}`, type: 'message', role: 'assistant', status: 'completed', content: [part] };
}

function reasoningItem(context: RenderContext): Json {
  return { id: `rs_${context.seq}`, type: 'reasoning', summary: [{ type: 'summary_text', text: 'let me think' }] };
}

function callItem(tool: { readonly name: string; readonly input: Json }, context: RenderContext): Json {
  const call = { id: `fc_${context.seq}`, type: 'function_call', call_id: `call_fake_${context.seq}`, name: tool.name };
  return { ...call, arguments: JSON.stringify(tool.input), status: 'completed' };
}

function completed(answer: Answer, context: RenderContext): Json {
  const input = answer.usage?.input ?? countTokens(JSON.stringify(context.body.input ?? ''));
  const output = answer.usage?.output ?? countTokens(answer.pieces.join(''));
  const usage = {
    input_tokens: input,
    input_tokens_details: { cached_tokens: answer.usage?.cacheRead ?? 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + output,
  };
  const items = [
    ...(answer.isThinking ? [reasoningItem(context)] : []),
    messageItem(answer, context),
    ...(answer.tool ? [callItem(answer.tool, context)] : []),
  ];
  return { ...base(context), status: 'completed', output: items, usage };
}

type Emit = (type: string, data: Json) => string;

function renderStream(answer: Answer, context: RenderContext): Frames {
  let sequence = 0;
  const event: Emit = (type, data) => frame({ type, sequence_number: sequence++, ...data }, type);
  const opening = [event('response.created', { response: base(context) })];
  let index = 0;
  if (answer.isThinking) opening.push(...thinkingFrames(event, index++, context));
  const item = messageItem(answer, context);
  const place = { item_id: item.id, output_index: index, content_index: 0 };
  const full = answer.pieces.join('');
  opening.push(
    event('response.output_item.added', { output_index: index, item: { ...item, status: 'in_progress', content: [] } }),
    event('response.content_part.added', { ...place, part: { type: 'output_text', text: '', annotations: [] } }),
  );
  const pieces = answer.pieces.map((piece) => event('response.output_text.delta', { ...place, delta: piece }));
  const content = [
    event('response.output_text.done', { ...place, text: full }),
    event('response.content_part.done', { ...place, part: { type: 'output_text', text: full, annotations: [] } }),
    event('response.output_item.done', { output_index: index++, item }),
  ];
  if (answer.tool) content.push(...callFrames(event, index, callItem(answer.tool, context)));
  return { opening, pieces, content, final: [event('response.completed', { response: completed(answer, context) })] };
}

function thinkingFrames(event: Emit, index: number, context: RenderContext): readonly string[] {
  const item = reasoningItem(context);
  const place = { item_id: item.id, output_index: index, summary_index: 0 };
  return [
    event('response.output_item.added', { output_index: index, item: { ...item, summary: [] } }),
    event('response.reasoning_summary_part.added', { ...place, part: { type: 'summary_text', text: '' } }),
    event('response.reasoning_summary_text.delta', { ...place, delta: 'let me think' }),
    event('response.reasoning_summary_text.done', { ...place, text: 'let me think' }),
    event('response.reasoning_summary_part.done', { ...place, part: { type: 'summary_text', text: 'let me think' } }),
    event('response.output_item.done', { output_index: index, item }),
  ];
}

function callFrames(event: Emit, index: number, item: Json): readonly string[] {
  return [
    event('response.output_item.added', { output_index: index, item: { ...item, arguments: '', status: 'in_progress' } }),
    event('response.function_call_arguments.delta', { item_id: item.id, output_index: index, delta: item.arguments }),
    event('response.function_call_arguments.done', { item_id: item.id, output_index: index, arguments: item.arguments }),
    event('response.output_item.done', { output_index: index, item }),
  ];
}
