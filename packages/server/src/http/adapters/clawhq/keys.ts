import { PlatformError } from '../../../base/errors.ts';
import type { HttpDeps } from '../../context.ts';
import { OURS } from './agent.ts';
import type { AgentFields } from './schemas.ts';

interface OwnKey {
  readonly name: string;
  readonly modelProvider: AgentFields['modelProvider'];
  readonly apiKey: string;
}

/** Puts a key into a vault of its own, which is nobody's yet; answers its id. */
export async function keepKey(deps: HttpDeps, tenantId: string, { name, modelProvider, apiKey }: OwnKey): Promise<string> {
  const vault = await deps.vaults.create(tenantId, { display_name: `Key of ${name}` });
  try {
    const auth = { type: 'provider_key' as const, provider: OURS[modelProvider].provider, api_key: apiKey };
    await deps.vaults.credentials.create(tenantId, vault.id, { auth });
  } catch (error) {
    await deps.vaults.remove(tenantId, vault.id);
    throw error;
  }
  return vault.id;
}

/** Throws what ClawHQ answers when there is no key that the agent could use: its own (400), or the operator's (503). */
export async function requireKey(deps: HttpDeps, tenantId: string, fields: AgentFields, hasVault: boolean): Promise<void> {
  const { provider } = OURS[fields.modelProvider];
  const { data } = await deps.providers.list(tenantId);
  const found = data.find((one) => one.provider === provider) ?? data.find((one) => one.provider === 'openai-compatible');
  if (fields.usesBundledApi) {
    if (found?.managed === true || found?.own === true) return;
    throw new PlatformError('provider_not_configured', { detail: `The operator has no key for ${fields.modelProvider}.` });
  }
  if (hasVault || found?.own === true) return;
  throw new PlatformError('request_invalid', {
    detail: `The agent uses a key of its own, and there is none for ${fields.modelProvider}: give it one as apiKey.`,
    fields: [{ pointer: '/apiKey', message: 'needed without usesBundledApi' }],
  });
}
