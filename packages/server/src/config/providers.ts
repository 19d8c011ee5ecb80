import type { Provider } from '../core/model.ts';
import { type Environment, secret, url } from './values.ts';

/** How the gateway reaches one model provider. The header's value is the secret. */
export interface ProviderConfig {
  /** Without the version path: the gateway appends what the client asked for. */
  readonly baseUrl: string;
  /** Undefined for a provider that needs no key, such as a local server. */
  readonly auth: { readonly header: string; readonly value: string } | undefined;
}

export function providers(env: Environment): ReadonlyMap<Provider, ProviderConfig> {
  const found = new Map<Provider, ProviderConfig>();
  const anthropicUrl = url(env, 'ANTHROPIC_BASE_URL') ?? 'https://api.anthropic.com';
  const apiKey = secret(env, 'ANTHROPIC_API_KEY');
  const bearer = secret(env, 'ANTHROPIC_AUTH_TOKEN') ?? secret(env, 'CLAUDE_CODE_OAUTH_TOKEN');
  if (apiKey !== undefined) found.set('anthropic', { baseUrl: anthropicUrl, auth: { header: 'x-api-key', value: apiKey } });
  else if (bearer !== undefined)
    found.set('anthropic', { baseUrl: anthropicUrl, auth: { header: 'authorization', value: `Bearer ${bearer}` } });
  const openaiKey = secret(env, 'OPENAI_API_KEY');
  const openaiUrl = url(env, 'OPENAI_BASE_URL');
  if (openaiUrl !== undefined)
    found.set('openai-compatible', {
      baseUrl: openaiUrl,
      auth: openaiKey === undefined ? undefined : { header: 'authorization', value: `Bearer ${openaiKey}` },
    });
  else if (openaiKey !== undefined) found.set('openai', bearerProvider('https://api.openai.com/v1', openaiKey));
  const geminiKey = secret(env, 'GEMINI_API_KEY');
  if (geminiKey !== undefined)
    found.set('google', {
      baseUrl: url(env, 'GEMINI_BASE_URL') ?? 'https://generativelanguage.googleapis.com/v1beta',
      auth: { header: 'x-goog-api-key', value: geminiKey },
    });
  const deepseekKey = secret(env, 'DEEPSEEK_API_KEY');
  if (deepseekKey !== undefined)
    found.set('deepseek', bearerProvider(url(env, 'DEEPSEEK_BASE_URL') ?? 'https://api.deepseek.com', deepseekKey));
  const xaiKey = secret(env, 'XAI_API_KEY');
  if (xaiKey !== undefined) found.set('xai', bearerProvider(url(env, 'XAI_BASE_URL') ?? 'https://api.x.ai/v1', xaiKey));
  return found;
}

function bearerProvider(baseUrl: string, key: string): ProviderConfig {
  return { baseUrl, auth: { header: 'authorization', value: `Bearer ${key}` } };
}
