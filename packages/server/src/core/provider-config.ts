import type { Provider } from './model.ts';

/** How the gateway reaches one model provider. The header's value is the secret. */
export interface ProviderConfig {
  /** Without the version path: the gateway appends what the client asked for. */
  readonly baseUrl: string;
  /** Undefined for a provider that needs no key, such as a local server. */
  readonly auth: { readonly header: string; readonly value: string } | undefined;
}

const BASE_URLS: Readonly<Record<Exclude<Provider, 'demo' | 'openai-compatible'>, string>> = {
  anthropic: 'https://api.anthropic.com',
  openai: 'https://api.openai.com/v1',
  google: 'https://generativelanguage.googleapis.com/v1beta',
  deepseek: 'https://api.deepseek.com',
  xai: 'https://api.x.ai/v1',
};

/** Where a provider is when nobody says otherwise; a compatible server is nowhere in particular. */
export function baseUrlOf(provider: Provider): string | undefined {
  return provider === 'demo' || provider === 'openai-compatible' ? undefined : BASE_URLS[provider];
}

/** The header that carries a key to the provider. */
export function authOf(provider: Provider, key: string): { readonly header: string; readonly value: string } {
  if (provider === 'anthropic' && !key.startsWith('sk-ant-oat')) return { header: 'x-api-key', value: key };
  if (provider === 'google') return { header: 'x-goog-api-key', value: key };
  return { header: 'authorization', value: `Bearer ${key}` };
}
