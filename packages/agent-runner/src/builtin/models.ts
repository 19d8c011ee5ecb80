import type { ProviderOptions } from '@ai-sdk/provider-utils';
import type { LanguageModel } from 'ai';
import type { SessionConfig } from './config.ts';

/** Every provider is reached through the gateway, which puts the real key in the place of this one. */
const apiKey = 'placeholder';

/** Models that their provider package does not know get this instead of its very small default. */
const ANTHROPIC_OUTPUT_TOKENS = 32_000;

const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const;
type Effort = (typeof EFFORTS)[number];

export interface ModelAccess {
  /** Where the gateway is, as the provider packages are told. */
  readonly baseUrl: string;
  readonly fetch: typeof globalThis.fetch;
}

/** Loads only the package of the session's provider: start-up time is what a person waits for. */
export async function createModel(config: SessionConfig, { baseUrl, fetch }: ModelAccess): Promise<LanguageModel> {
  const baseURL = `${baseUrl}/${config.provider}/${config.provider === 'google' ? 'v1beta' : 'v1'}`;
  const options = { baseURL, apiKey, fetch };
  switch (config.provider) {
    case 'anthropic':
      return (await import('@ai-sdk/anthropic')).createAnthropic(options)(config.model);
    case 'openai':
      return (await import('@ai-sdk/openai')).createOpenAI(options)(config.model);
    case 'google':
      return (await import('@ai-sdk/google')).createGoogle(options)(config.model);
    case 'deepseek':
      return (await import('@ai-sdk/deepseek')).createDeepSeek(options)(config.model);
    case 'xai':
      return (await import('@ai-sdk/xai')).createXai(options)(config.model);
    case 'openai-compatible':
    case 'demo':
      return (await import('@ai-sdk/openai-compatible')).createOpenAICompatible({ ...options, name: config.provider, includeUsage: true })(
        config.model,
      );
  }
}

/** The transcript is ours: providers that would keep it are told not to, and then take it whole from us. */
export function providerOptions(config: SessionConfig): ProviderOptions {
  return config.provider === 'openai' || config.provider === 'xai' ? { [config.provider]: { store: false } } : {};
}

/** Marks the end of what the next call will repeat, for providers that cache only what is marked. */
export const CACHE_MARK: ProviderOptions = { anthropic: { cacheControl: { type: 'ephemeral' } } };

export function maxOutputTokens(config: SessionConfig): number | undefined {
  return config.maxOutputTokens ?? (config.provider === 'anthropic' ? ANTHROPIC_OUTPUT_TOKENS : undefined);
}

export function reasoningOf(config: SessionConfig): Effort | undefined {
  return EFFORTS.find((effort) => effort === config.effort);
}
