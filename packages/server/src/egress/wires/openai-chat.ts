import { at, countAt, isRecord, type JsonRecord, records, textAt } from '../json.ts';
import type { GatewayError, ModelWire, Reading } from './wire.ts';

/** OpenAI Chat Completions, which most other providers speak too. */
export const openaiChatWire: ModelWire = {
  name: 'openai-chat',
  readEvent(event, reading) {
    if (isRecord(event.error)) {
      reading.error = openaiError(event.error);
      return;
    }
    reading.model = textAt(event, 'model') ?? reading.model;
    if (isRecord(event.usage)) readUsage(event.usage, reading);
    if (records(event.choices).some((choice) => typeof choice.finish_reason === 'string')) reading.isComplete = true;
  },
  readWhole(body, reading) {
    if (!isRecord(body)) return;
    this.readEvent(body, reading);
    reading.isComplete = reading.error === undefined;
  },
  renderError: renderOpenaiError,
  renderStreamError: (error) => `data: ${JSON.stringify(renderOpenaiError(error))}\n\n`,
};

/** The prompt's count includes what the cache served; the gateway counts the two apart. */
function readUsage(usage: JsonRecord, reading: Reading): void {
  const prompt = countAt(usage, 'prompt_tokens') ?? 0;
  const cached = countAt(usage, 'prompt_tokens_details', 'cached_tokens') ?? countAt(usage, 'prompt_cache_hit_tokens') ?? 0;
  reading.cacheReadTokens = Math.min(cached, prompt);
  reading.inputTokens = prompt - reading.cacheReadTokens;
  reading.outputTokens = countAt(usage, 'completion_tokens') ?? reading.outputTokens;
}

export function openaiError(error: JsonRecord): { readonly type: string; readonly message: string } {
  const code = at(error, 'code');
  const type = typeof code === 'string' || typeof code === 'number' ? String(code) : textAt(error, 'type');
  return { type: type ?? 'server_error', message: textAt(error, 'message') ?? '' };
}

export function renderOpenaiError(error: GatewayError): JsonRecord {
  return {
    error: { message: error.message, type: error.status >= 500 ? 'server_error' : 'invalid_request_error', param: null, code: error.code },
  };
}
