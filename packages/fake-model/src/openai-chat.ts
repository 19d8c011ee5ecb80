import { countTokens, isRecord, type Json, records, text } from './json.ts';
import type { Answer, Entry } from './script.ts';
import { type Frames, frame, type RenderContext, type Wire } from './wire.ts';

/** `POST /v1/chat/completions`. */
export const openaiChatWire: Wire = {
  name: 'openai-chat',
  readEntries,
  isStream: (body) => body.stream === true,
  renderStream,
  renderWhole(answer, context) {
    const message = {
      role: 'assistant',
      content: answer.pieces.join(''),
      ...(answer.isThinking ? { reasoning_content: 'let me think' } : {}),
      ...(answer.tool ? { tool_calls: [toolCall(answer.tool, context)] } : {}),
    };
    const choices = [{ index: 0, message, finish_reason: finishReason(answer) }];
    return { ...head(context), object: 'chat.completion', choices, usage: usageOf(answer, context) };
  },
  renderError: (status, words) => ({
    error: { message: words, type: status >= 500 ? 'server_error' : 'invalid_request_error', code: null },
  }),
  renderStreamError: (type) => frame({ error: { message: `fake ${type}`, type, code: type } }),
};

function readEntries(body: Json): readonly Entry[] {
  const entries: Entry[] = [];
  records(body.messages).forEach((one, message) => {
    const texts = textsOf(one.content);
    if (one.role === 'user') entries.push(...texts.map((said): Entry => ({ from: 'user', text: said, message })));
    if (one.role === 'tool') entries.push({ from: 'tool', text: texts.join('\n') });
  });
  return entries;
}

function textsOf(content: unknown): readonly string[] {
  if (typeof content === 'string') return [content];
  return records(content)
    .filter((part) => part.type === 'text')
    .map((part) => text(part.text));
}

function head(context: RenderContext): Json {
  return { id: `chatcmpl-fake-${context.seq}`, created: 1_700_000_000, model: context.body.model ?? 'fake-model' };
}

function finishReason(answer: Answer): string {
  return answer.tool ? 'tool_calls' : 'stop';
}

function toolCall(tool: { readonly name: string; readonly input: Json }, context: RenderContext): Json {
  return { id: `call_fake_${context.seq}`, type: 'function', function: { name: tool.name, arguments: JSON.stringify(tool.input) } };
}

function usageOf(answer: Answer, context: RenderContext): Json {
  const prompt = answer.usage?.input ?? countTokens(JSON.stringify(context.body.messages ?? ''));
  const completion = answer.usage?.output ?? countTokens(answer.pieces.join(''));
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: answer.usage?.cacheRead ?? 0 },
  };
}

function renderStream(answer: Answer, context: RenderContext): Frames {
  const chunk = (delta: Json, finish: string | null = null): string =>
    frame({ ...head(context), object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] });
  const opening = [chunk({ role: 'assistant', content: '' })];
  if (answer.isThinking) opening.push(chunk({ reasoning_content: 'let me think' }));
  const content: string[] = [];
  if (answer.tool) {
    const call = toolCall(answer.tool, context);
    content.push(chunk({ tool_calls: [{ index: 0, ...call, function: { name: answer.tool.name, arguments: '' } }] }));
    content.push(chunk({ tool_calls: [{ index: 0, function: { arguments: JSON.stringify(answer.tool.input) } }] }));
  }
  const options = context.body.stream_options;
  // As the provider does: the chunk with the counts comes only when it was asked for.
  const withUsage = isRecord(options) && options.include_usage === true;
  const counts = { ...head(context), object: 'chat.completion.chunk', choices: [], usage: usageOf(answer, context) };
  const final = [chunk({}, finishReason(answer)), ...(withUsage ? [frame(counts)] : []), 'data: [DONE]\n\n'];
  return { opening, pieces: answer.pieces.map((piece) => chunk({ content: piece })), content, final };
}
