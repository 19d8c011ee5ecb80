import { at, countAt, isRecord, type JsonRecord } from './json.ts';
import type { ModelRoute } from './routes.ts';

export interface Bounded {
  /** As it goes on: with a bound where it had none. */
  readonly body: JsonRecord;
  /** The most that all of the answer may have. */
  readonly maxOutputTokens: number;
}

/** How a request says how long its answer may be; one that does not say it gets the cap. */
export function boundOutput({ wire, provider }: Pick<ModelRoute, 'wire' | 'provider'>, body: JsonRecord, cap: number): Bounded {
  switch (wire.name) {
    case 'gemini':
      return boundGemini(body, cap);
    case 'openai-chat': {
      const name = provider === 'openai' ? 'max_completion_tokens' : 'max_tokens';
      const bounded = boundField(body, ['max_completion_tokens', 'max_tokens'], name, cap);
      return { ...bounded, maxOutputTokens: bounded.maxOutputTokens * partsOf(body, 'n') };
    }
    case 'openai-responses':
      return boundField(body, ['max_output_tokens'], 'max_output_tokens', cap);
    default:
      return boundField(body, ['max_tokens'], 'max_tokens', cap);
  }
}

function boundField(body: JsonRecord, names: readonly string[], name: string, cap: number): Bounded {
  const given = names.flatMap((one) => countAt(body, one) ?? []);
  if (given.length > 0) return { body, maxOutputTokens: Math.max(...given) };
  return { body: { ...body, [name]: cap }, maxOutputTokens: cap };
}

function boundGemini(body: JsonRecord, cap: number): Bounded {
  // Both spellings are taken.
  const key = isRecord(body.generation_config) ? 'generation_config' : 'generationConfig';
  const config = at(body, key);
  const settings = isRecord(config) ? config : {};
  const names = ['maxOutputTokens', 'max_output_tokens'];
  const bounded = boundField(settings, names, 'maxOutputTokens', cap);
  const parts = Math.max(partsOf(settings, 'candidateCount'), partsOf(settings, 'candidate_count'));
  return { body: { ...body, [key]: bounded.body }, maxOutputTokens: bounded.maxOutputTokens * parts };
}

function partsOf(body: JsonRecord, name: string): number {
  return Math.max(1, countAt(body, name) ?? 1);
}
