import { countAt, isRecord, type JsonRecord, textAt } from '../json.ts';
import { openaiError, renderOpenaiError } from './openai-chat.ts';
import type { ModelWire, Reading } from './wire.ts';

/** OpenAI Responses. */
export const openaiResponsesWire: ModelWire = {
  name: 'openai-responses',
  readEvent(event, reading) {
    const type = event.type;
    if (type === 'error') reading.error = openaiError(isRecord(event.error) ? event.error : event);
    if (isRecord(event.response)) readResponse(event.response, reading);
    if (type === 'response.completed' || type === 'response.incomplete') reading.isComplete = reading.isFinal = true;
  },
  readWhole(body, reading) {
    if (!isRecord(body)) return;
    readResponse(body, reading);
    reading.isComplete = reading.error === undefined;
  },
  renderError: renderOpenaiError,
  renderStreamError(error) {
    const inner = { code: error.code, message: error.message, param: null };
    return `event: error\ndata: ${JSON.stringify({ type: 'error', sequence_number: 0, ...inner, error: { type: 'server_error', ...inner } })}\n\n`;
  },
};

function readResponse(response: JsonRecord, reading: Reading): void {
  reading.model = textAt(response, 'model') ?? reading.model;
  if (isRecord(response.error)) reading.error = openaiError(response.error);
  const usage = response.usage;
  if (!isRecord(usage)) return;
  const input = countAt(usage, 'input_tokens') ?? 0;
  reading.cacheReadTokens = Math.min(countAt(usage, 'input_tokens_details', 'cached_tokens') ?? 0, input);
  reading.inputTokens = input - reading.cacheReadTokens;
  reading.outputTokens = countAt(usage, 'output_tokens') ?? reading.outputTokens;
}
