import type { FinishReason, LanguageModel, LanguageModelUsage, ModelMessage, SystemModelMessage, ToolSet } from 'ai';
import type { Answer } from './answer.ts';
import type { SessionConfig } from './config.ts';
import { IncompleteAnswerError } from './failures.ts';
import { CACHE_MARK, maxOutputTokens, providerOptions, reasoningOf } from './models.ts';
import type { Tool } from './tools/tool.ts';

const MAX_RETRIES = 2;

export interface StepInput {
  readonly model: LanguageModel;
  readonly config: SessionConfig;
  readonly system: string;
  readonly messages: readonly ModelMessage[];
  readonly tools: readonly Tool[];
  readonly signal: AbortSignal;
  readonly onText: (text: string) => Promise<void>;
  readonly onThought: (text: string) => Promise<void>;
}

export interface StepEnd {
  readonly finishReason: FinishReason;
  readonly usage: LanguageModelUsage;
}

/** One call of the model. The answer grows as it comes; rejects when the model fails, the answer then holds what came before. */
export async function runStep(input: StepInput, answer: Answer): Promise<StepEnd> {
  const { config, signal } = input;
  const { jsonSchema: asSchema, streamText } = await import('ai');
  const output = maxOutputTokens(config);
  const reasoning = reasoningOf(config);
  const { stream } = streamText({
    model: input.model,
    instructions: { role: 'system', content: input.system, providerOptions: CACHE_MARK } satisfies SystemModelMessage,
    messages: withCacheMark(input.messages),
    // Without `execute` the SDK checks the calls and leaves running them to us.
    tools: Object.fromEntries(
      input.tools.map(({ name, description, schema, jsonSchema }) => [
        name,
        { description, inputSchema: jsonSchema === undefined ? schema : asSchema(jsonSchema) },
      ]),
    ) satisfies ToolSet,
    maxRetries: MAX_RETRIES,
    abortSignal: signal,
    providerOptions: providerOptions(config),
    // Errors come as parts of the stream too; this only keeps them from being printed.
    onError: () => undefined,
    ...(output === undefined ? {} : { maxOutputTokens: output }),
    ...(reasoning === undefined ? {} : { reasoning }),
  });
  let end: StepEnd | undefined;
  for await (const part of stream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'abort') break;
    answer.add(part);
    if (part.type === 'text-delta' && part.text !== '') await input.onText(part.text);
    if (part.type === 'reasoning-delta' && part.text !== '') await input.onThought(part.text);
    if (part.type !== 'finish-step') continue;
    if (part.finishReason === 'interrupted') throw new IncompleteAnswerError();
    if (part.finishReason === 'error') throw new Error(`The model stopped with an error (${part.rawFinishReason ?? 'unnamed'}).`);
    end = { finishReason: part.finishReason, usage: part.usage };
  }
  signal.throwIfAborted();
  if (end === undefined) throw new IncompleteAnswerError();
  return end;
}

/** What comes before the mark is repeated by the next call of the conversation. */
function withCacheMark(messages: readonly ModelMessage[]): ModelMessage[] {
  const last = messages.at(-1);
  return last === undefined ? [] : [...messages.slice(0, -1), { ...last, providerOptions: CACHE_MARK }];
}
