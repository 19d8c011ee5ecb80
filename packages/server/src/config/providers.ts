import type { Provider } from '../core/model.ts';
import { authOf, baseUrlOf, type ProviderConfig } from '../core/provider-config.ts';
import { type Environment, secret, url } from './values.ts';

/** The operator's own keys: what tenants use that have none of theirs. */
export function providers(env: Environment): ReadonlyMap<Provider, ProviderConfig> {
  const found = new Map<Provider, ProviderConfig>();
  const add = (provider: Provider, key: string | undefined, setting: string) => {
    const baseUrl = url(env, setting) ?? baseUrlOf(provider) ?? '';
    if (key !== undefined) found.set(provider, { baseUrl, auth: authOf(provider, key) });
  };
  const apiKey = secret(env, 'ANTHROPIC_API_KEY');
  const token = secret(env, 'ANTHROPIC_AUTH_TOKEN');
  const subscription = secret(env, 'CLAUDE_CODE_OAUTH_TOKEN');
  const bearer = token ?? subscription;
  const anthropicUrl = url(env, 'ANTHROPIC_BASE_URL') ?? baseUrlOf('anthropic') ?? '';
  if (apiKey !== undefined) found.set('anthropic', { baseUrl: anthropicUrl, auth: { header: 'x-api-key', value: apiKey } });
  else if (bearer !== undefined)
    found.set('anthropic', { baseUrl: anthropicUrl, auth: { header: 'authorization', value: `Bearer ${bearer}` } });
  const openaiKey = secret(env, 'OPENAI_API_KEY');
  const openaiUrl = url(env, 'OPENAI_BASE_URL');
  if (openaiUrl !== undefined)
    found.set('openai-compatible', { baseUrl: openaiUrl, auth: openaiKey === undefined ? undefined : authOf('openai', openaiKey) });
  else add('openai', openaiKey, 'OPENAI_BASE_URL');
  add('google', secret(env, 'GEMINI_API_KEY'), 'GEMINI_BASE_URL');
  add('deepseek', secret(env, 'DEEPSEEK_API_KEY'), 'DEEPSEEK_BASE_URL');
  add('xai', secret(env, 'XAI_API_KEY'), 'XAI_BASE_URL');
  return found;
}
