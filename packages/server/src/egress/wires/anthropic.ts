import { at, countAt, isRecord, type JsonRecord, textAt } from '../json.ts';
import type { GatewayError, ModelWire, Reading } from './wire.ts';

const TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
};

/** Anthropic Messages. */
export const anthropicWire: ModelWire = {
  name: 'anthropic',
  readEvent(event, reading) {
    const type = event.type;
    if (type === 'message_start') {
      reading.model = textAt(event, 'message', 'model') ?? reading.model;
      readUsage(at(event, 'message', 'usage'), reading);
    } else if (type === 'message_delta') readUsage(event.usage, reading);
    else if (type === 'message_stop') reading.isComplete = reading.isFinal = true;
    else if (type === 'error') readError(event, reading);
  },
  readWhole(body, reading) {
    if (!isRecord(body)) return;
    reading.model = textAt(body, 'model') ?? reading.model;
    readUsage(body.usage, reading);
    reading.isComplete = true;
  },
  renderError,
  renderStreamError: (error) => `event: error\ndata: ${JSON.stringify(renderError(error))}\n\n`,
};

/** The counts of a later event replace those of an earlier one: they are totals. */
function readUsage(usage: unknown, reading: Reading): void {
  reading.inputTokens = countAt(usage, 'input_tokens') ?? reading.inputTokens;
  reading.outputTokens = countAt(usage, 'output_tokens') ?? reading.outputTokens;
  reading.cacheReadTokens = countAt(usage, 'cache_read_input_tokens') ?? reading.cacheReadTokens;
  reading.cacheCreationTokens = countAt(usage, 'cache_creation_input_tokens') ?? reading.cacheCreationTokens;
}

function readError(event: JsonRecord, reading: Reading): void {
  reading.error = { type: textAt(event, 'error', 'type') ?? 'api_error', message: textAt(event, 'error', 'message') ?? '' };
}

function renderError(error: GatewayError): JsonRecord {
  return { type: 'error', error: { type: TYPES[error.status] ?? 'api_error', message: error.message, code: error.code } };
}
