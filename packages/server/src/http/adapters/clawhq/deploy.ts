import { createHash, timingSafeEqual } from 'node:crypto';
import type { Agent, Service } from '@cloister/api';
import { isPlatformError, PlatformError } from '../../../base/errors.ts';
import { newCallbackToken } from '../../../base/ids.ts';
import { SANDBOX_GATEWAY_DIRECTORY, SANDBOX_GATEWAY_PORT } from '../../../harness/harness.ts';
import type { HttpDeps } from '../../context.ts';
import { serviceIdOf, toFields, VAULT } from './agent.ts';
import { requireKey } from './keys.ts';

/** Where the model's provider is, and what else an agent of that channel has to reach. */
const HOSTS: Readonly<Record<string, readonly string[]>> = {
  claude: ['api.anthropic.com'],
  openai: ['api.openai.com'],
  gemini: ['generativelanguage.googleapis.com'],
  deepseek: ['api.deepseek.com'],
  grok: ['api.x.ai'],
  telegram: ['api.telegram.org'],
  discord: ['discord.com', '*.discord.com', '*.discord.gg', '*.discordapp.com'],
  slack: ['slack.com', '*.slack.com'],
  whatsapp: ['graph.facebook.com', '*.whatsapp.com', '*.whatsapp.net'],
};

const CPUS = 0.5;
/** `openclaw` in ClawHQ's image. */
const UID = 1001;
/** What stands where ClawHQ put the key. */
const NO_KEY = 'the-gateway-has-the-key';
const WEBHOOK_HASH = 'clawhq.webhook';

/** How the provider's own variables are called, and where the gateway has its API. */
const MODELS = {
  claude: { variable: 'ANTHROPIC', path: 'anthropic' },
  openai: { variable: 'OPENAI', path: 'openai/v1' },
  gemini: { variable: 'GEMINI', path: 'google' },
  deepseek: { variable: 'DEEPSEEK', path: 'deepseek' },
  grok: { variable: 'XAI', path: 'xai/v1' },
} as const;

/** A program on Node finds the model without a change; any other starts the supervisor beside it. */
function modelEnvironment(provider: keyof typeof MODELS): Record<string, string> {
  const { variable, path } = MODELS[provider];
  const url = `http://127.0.0.1:${SANDBOX_GATEWAY_PORT}/${path}`;
  return {
    CLAWHQ_BASE_URL: url,
    [`${variable}_BASE_URL`]: url,
    [`${variable}_API_KEY`]: NO_KEY,
    NODE_OPTIONS: `--import=${SANDBOX_GATEWAY_DIRECTORY}/forwarder.mjs`,
  };
}

/** The container of an agent. Throws `service_exists` when it has one. */
export async function deploy(deps: HttpDeps, tenantId: string, agent: Agent): Promise<Service> {
  const id = serviceIdOf(agent.id);
  if ((await findService(deps, tenantId, agent.id)) !== undefined)
    throw new PlatformError('service_exists', { detail: `The agent "${agent.name}" is deployed already.` });
  const fields = toFields(agent);
  await requireKey(deps, tenantId, fields, agent.metadata[VAULT] !== undefined);
  const { image, memoryBytes, port } = deps.adapters.clawhq;
  const { modelProvider, channels } = fields;
  const hosts = [modelProvider, ...channels].flatMap((name) => HOSTS[name] ?? []);
  const token = newCallbackToken();
  const name = `clawhq-${tenantId}-${agent.id}`;
  return deps.services.create(
    tenantId,
    {
      name,
      image,
      env: containerEnvironment(tenantId, agent, token),
      port,
      health: { type: 'http', path: '/health' },
      memory: memoryBytes,
      cpus: CPUS,
      uid: UID,
      networking: { type: 'limited', allowed_hosts: [...new Set(hosts)] },
      metadata: { 'clawhq.agent': agent.id, [WEBHOOK_HASH]: hashOf(token) },
    },
    id,
    { agentId: agent.id, aliases: { 'clawhq.name': name, 'clawhq.service': 'openclaw-agent', 'clawhq.agent-id': agent.id } },
  );
}

function containerEnvironment(tenantId: string, agent: Agent, token: string): Record<string, string> {
  const { name, modelProvider, model, channels, systemPrompt, temperature, maxTokens } = toFields(agent);
  return {
    CLAWHQ_USER_ID: tenantId,
    CLAWHQ_AGENT_ID: agent.id,
    CLAWHQ_AGENT_NAME: name,
    CLAWHQ_MODEL_PROVIDER: modelProvider,
    CLAWHQ_MODEL: model,
    CLAWHQ_API_KEY: NO_KEY,
    CLAWHQ_CHANNELS: channels.join(','),
    CLAWHQ_WEBHOOK_TOKEN: token,
    CLAWHQ_SYSTEM_PROMPT: systemPrompt ?? '',
    CLAWHQ_TEMPERATURE: String(temperature),
    CLAWHQ_MAX_TOKENS: String(maxTokens),
    ...modelEnvironment(modelProvider),
  };
}

/** Undefined when it has none, or one that goes. */
export async function findService(deps: Pick<HttpDeps, 'services'>, tenantId: string, agentId: string): Promise<Service | undefined> {
  try {
    const service = await deps.services.get(tenantId, serviceIdOf(agentId));
    return service.desired_state === 'deleted' ? undefined : service;
  } catch (error) {
    if (isPlatformError(error, 'service_not_found')) return undefined;
    throw error;
  }
}

/** What a container tells, by the token that it was given. Throws `credentials_invalid`. */
export async function heard(deps: HttpDeps, agentId: string, token: string | undefined, told: Readonly<Record<string, unknown>>) {
  const row = await deps.store.services.findById({ id: serviceIdOf(agentId) });
  const kept = row?.metadata[WEBHOOK_HASH];
  const given = Buffer.from(hashOf(token ?? ''));
  // Compared also where there is nothing to compare with, so that the time tells nothing.
  const isRight = timingSafeEqual(Buffer.from(typeof kept === 'string' ? kept : hashOf('')), given);
  if (row === undefined || typeof kept !== 'string' || token === undefined || !isRight) throw new PlatformError('credentials_invalid');
  const text = (value: unknown, max: number) => (typeof value === 'string' ? value.slice(0, max) : null);
  const progress = typeof told.progress === 'number' && told.progress >= 0 && told.progress <= 1 ? told.progress : null;
  const reported = { status: text(told.status ?? told.event ?? told.type, 200), progress, message: text(told.message, 4096) };
  await deps.store.services.report({ tenantId: row.tenantId, id: row.id, reported, now: deps.clock.now() });
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
