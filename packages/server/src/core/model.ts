/** Model providers the gateway can reach; also the first path segment of their routes there. */
export const PROVIDERS = ['anthropic', 'openai', 'openai-compatible', 'google', 'deepseek', 'xai', 'demo'] as const;
export type Provider = (typeof PROVIDERS)[number];

export function isProvider(value: string): value is Provider {
  return (PROVIDERS as readonly string[]).includes(value);
}

export interface ModelChoice {
  readonly provider: Provider;
  /** The provider's own name of the model. */
  readonly model: string;
}

/** Names that tell their maker; anything else needs a `provider/` prefix or an OpenAI-compatible base URL. */
const NAME_PATTERNS: readonly (readonly [RegExp, Provider])[] = [
  [/^demo$/, 'demo'],
  [/^(claude|anthropic)/, 'anthropic'],
  [/^(gpt-|chatgpt|o\d|codex)/, 'openai'],
  [/^gemini/, 'google'],
  [/^deepseek/, 'deepseek'],
  [/^grok/, 'xai'],
];

/**
 * Decides which provider serves a model: `provider/model` says it, a known name implies it, and any
 * other name belongs to the OpenAI-compatible provider when one is configured.
 */
export function resolveModel(id: string, configured: ReadonlySet<Provider>): ModelChoice | undefined {
  const slash = id.indexOf('/');
  const prefix = slash > 0 ? id.slice(0, slash) : '';
  if (isProvider(prefix)) return { provider: prefix, model: id.slice(slash + 1) };
  for (const [pattern, provider] of NAME_PATTERNS) {
    if (pattern.test(id)) return preferConfigured({ provider, model: id }, configured);
  }
  return configured.has('openai-compatible') ? { provider: 'openai-compatible', model: id } : undefined;
}

/** A compatible server often carries the well-known names: it serves them when their maker has no key here. */
function preferConfigured(choice: ModelChoice, configured: ReadonlySet<Provider>): ModelChoice {
  if (configured.has(choice.provider) || !configured.has('openai-compatible')) return choice;
  return { provider: 'openai-compatible', model: choice.model };
}
