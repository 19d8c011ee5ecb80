import type { AgentLimits } from './agents/definition.ts';
import { PlatformError } from './base/errors.ts';
import type { Config } from './config.ts';
import type { Provider } from './core/model.ts';
import { builtinHarness } from './harness/builtin.ts';
import { createHarnessCatalog, type HarnessCatalog } from './harness/catalog.ts';
import { claudeHarness } from './harness/claude.ts';
import { fakeHarness } from './harness/fake/fake-harness.ts';
import type { RuntimeDriver } from './runtime/driver.ts';

/** Which agent programs and models there are here, by the settings and by what the runtime can hold. */
export interface AgentChoices {
  readonly catalog: HarnessCatalog;
  readonly limits: AgentLimits;
  readonly model: string;
  readonly isDemo: boolean;
}

/** Default models, by the provider that has a key; the first that has one wins. */
const DEFAULT_MODELS: readonly (readonly [Provider, string])[] = [
  ['anthropic', 'claude-sonnet-4-5'],
  ['openai', 'gpt-5'],
  ['google', 'gemini-2.5-pro'],
  ['deepseek', 'deepseek-chat'],
  ['xai', 'grok-4'],
];

export function chooseAgents(config: Config, driver: RuntimeDriver, providersOf?: AgentLimits['providersOf']): AgentChoices {
  const harnesses = driver.capabilities.isIsolated ? [builtinHarness, claudeHarness] : [fakeHarness];
  const catalog = createHarnessCatalog(harnesses, driver.capabilities.isIsolated ? config.defaultHarness : undefined);
  const providers: ReadonlySet<Provider> = new Set<Provider>([...config.providers.keys(), 'demo']);
  const known = DEFAULT_MODELS.find(([provider]) => providers.has(provider))?.[1];
  if (config.defaultModel === undefined && known === undefined && providers.has('openai-compatible')) {
    throw new PlatformError('config_invalid', {
      detail: 'CLOISTER_MODEL: name the model that the server at OPENAI_BASE_URL is to be asked for.',
    });
  }
  const model = config.defaultModel ?? known ?? 'demo';
  const limits: AgentLimits = {
    harnesses: catalog.ids(),
    defaultHarness: catalog.defaultId,
    requiredProvider: (id) => catalog.find(id)?.requiredProvider,
    providers,
    providersOf,
  };
  return { catalog, limits, model, isDemo: model === 'demo' };
}
