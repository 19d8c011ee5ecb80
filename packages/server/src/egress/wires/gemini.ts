import { countAt, isRecord, type JsonRecord, records, textAt } from '../json.ts';
import type { ModelWire, Reading } from './wire.ts';

const STATUS_NAMES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  504: 'DEADLINE_EXCEEDED',
};

/** Gemini generateContent and streamGenerateContent. */
export const geminiWire: ModelWire = {
  name: 'gemini',
  readEvent: readChunk,
  readWhole(body, reading) {
    // Without `alt=sse` a stream is one JSON list of the same chunks.
    for (const chunk of isRecord(body) ? [body] : records(body)) readChunk(chunk, reading);
  },
  renderError: (error) => ({
    error: {
      code: error.status,
      message: error.message,
      status: STATUS_NAMES[error.status] ?? 'UNAVAILABLE',
      details: [{ reason: error.code }],
    },
  }),
  renderStreamError: () => undefined,
};

function readChunk(chunk: JsonRecord, reading: Reading): void {
  if (isRecord(chunk.error)) {
    const type = textAt(chunk, 'error', 'status') ?? String(countAt(chunk, 'error', 'code') ?? 'INTERNAL');
    reading.error = { type, message: textAt(chunk, 'error', 'message') ?? '' };
    return;
  }
  reading.model = textAt(chunk, 'modelVersion') ?? reading.model;
  const usage = chunk.usageMetadata;
  if (isRecord(usage)) readUsage(usage, reading);
  const isFinished = records(chunk.candidates).some((candidate) => typeof candidate.finishReason === 'string');
  if (isFinished || textAt(chunk, 'promptFeedback', 'blockReason') !== undefined) {
    reading.isComplete = true;
    reading.isFinal = isRecord(usage);
  }
}

function readUsage(usage: JsonRecord, reading: Reading): void {
  const prompt = (countAt(usage, 'promptTokenCount') ?? 0) + (countAt(usage, 'toolUsePromptTokenCount') ?? 0);
  reading.cacheReadTokens = Math.min(countAt(usage, 'cachedContentTokenCount') ?? 0, prompt);
  reading.inputTokens = prompt - reading.cacheReadTokens;
  reading.outputTokens = (countAt(usage, 'candidatesTokenCount') ?? 0) + (countAt(usage, 'thoughtsTokenCount') ?? 0);
}
