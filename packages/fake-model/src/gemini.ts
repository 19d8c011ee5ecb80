import { countTokens, isRecord, type Json, records, text } from './json.ts';
import type { Answer, Entry } from './script.ts';
import { type Frames, frame, type RenderContext, type Wire } from './wire.ts';

const STATUS_NAMES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
};

/** `POST /v1beta/models/X:generateContent` and `:streamGenerateContent?alt=sse`. */
export const geminiWire: Wire = {
  name: 'gemini',
  readEntries,
  isStream: (_body, path) => path.includes(':stream'),
  renderStream,
  renderWhole(answer, context) {
    const parts = [
      ...(answer.isThinking ? [THOUGHT] : []),
      { text: answer.pieces.join('') },
      ...(answer.tool ? [functionCall(answer.tool)] : []),
    ];
    return chunk(parts, answer, context, 'STOP');
  },
  renderError: (status, words) => ({ error: { code: status, message: words, status: STATUS_NAMES[status] ?? 'UNKNOWN' } }),
  renderStreamError: (type) => frame({ error: { code: 503, message: `fake ${type}`, status: 'UNAVAILABLE' } }),
};

const THOUGHT: Json = { text: 'let me think', thought: true };

function readEntries(body: Json): readonly Entry[] {
  const entries: Entry[] = [];
  records(body.contents).forEach((one, message) => {
    if (one.role === 'model') return;
    for (const part of records(one.parts)) {
      if (isRecord(part.functionResponse)) entries.push({ from: 'tool', text: JSON.stringify(part.functionResponse.response ?? '') });
      else if (text(part.text) !== '') entries.push({ from: 'user', text: text(part.text), message });
    }
  });
  return entries;
}

function functionCall(tool: { readonly name: string; readonly input: Json }): Json {
  return { functionCall: { name: tool.name, args: tool.input } };
}

function chunk(parts: readonly Json[], answer: Answer, context: RenderContext, finish?: string): Json {
  const prompt = answer.usage?.input ?? countTokens(JSON.stringify(context.body.contents ?? ''));
  const output = answer.usage?.output ?? countTokens(answer.pieces.join(''));
  const usageMetadata = {
    promptTokenCount: prompt,
    candidatesTokenCount: output,
    cachedContentTokenCount: answer.usage?.cacheRead ?? 0,
    totalTokenCount: prompt + output,
  };
  const candidate = { index: 0, content: { role: 'model', parts }, ...(finish === undefined ? {} : { finishReason: finish }) };
  return { candidates: [candidate], usageMetadata, modelVersion: 'fake', responseId: `resp_fake_${context.seq}` };
}

function renderStream(answer: Answer, context: RenderContext): Frames {
  const last = answer.tool ? [functionCall(answer.tool)] : [{ text: '' }];
  return {
    opening: answer.isThinking ? [frame(chunk([THOUGHT], answer, context))] : [frame(chunk([{ text: '' }], answer, context))],
    pieces: answer.pieces.map((piece) => frame(chunk([{ text: piece }], answer, context))),
    content: [],
    final: [frame(chunk(last, answer, context, 'STOP'))],
  };
}
