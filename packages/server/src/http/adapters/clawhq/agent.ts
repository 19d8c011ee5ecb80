import type { Agent, AgentCreate, Service } from '@cloister/api';
import { idOf } from '../../../base/ids.ts';
import type { AgentActivity } from '../../../store/store.ts';
import { type AgentFields, CHANNELS, type ClawHqAgent, type ContainerStatus, PROVIDERS } from './schemas.ts';

/** In an agent's metadata: the vault of its own key. */
export const VAULT = 'clawhq.vault';

/** Our names of the providers, and how the names of their models begin. */
export const OURS = {
  claude: { provider: 'anthropic', models: /^claude/ },
  openai: { provider: 'openai', models: /^(gpt-|chatgpt|o\d|codex)/ },
  gemini: { provider: 'google', models: /^gemini/ },
  deepseek: { provider: 'deepseek', models: /^deepseek/ },
  grok: { provider: 'xai', models: /^grok/ },
} as const;

type ProviderName = (typeof PROVIDERS)[number];

/** What of an agent is ClawHQ's alone is kept in its metadata. */
export function toCreate({ name, modelProvider, model, systemPrompt, ...rest }: AgentFields, vaultId?: string) {
  const { provider, models } = OURS[modelProvider];
  return {
    name,
    model: models.test(model) ? model : `${provider}/${model}`,
    system: systemPrompt,
    metadata: {
      'clawhq.provider': modelProvider,
      'clawhq.model': model,
      'clawhq.channels': rest.channels.join(','),
      'clawhq.bundled': String(rest.usesBundledApi),
      'clawhq.mode': rest.deployMode,
      'clawhq.temperature': String(rest.temperature),
      'clawhq.max_tokens': String(rest.maxTokens),
      ...(vaultId === undefined ? {} : { [VAULT]: vaultId }),
    },
  } satisfies AgentCreate;
}

/** Also of an agent that was made elsewhere. */
export function toFields({ name, model, system, metadata }: Agent): AgentFields {
  const provider = PROVIDERS.find((one) => one === metadata['clawhq.provider']) ?? providerOf(model.id);
  const channels = (metadata['clawhq.channels'] ?? '').split(',');
  return {
    name,
    modelProvider: provider,
    model: metadata['clawhq.model'] ?? model.id,
    channels: CHANNELS.filter((one) => channels.includes(one)),
    usesBundledApi: metadata['clawhq.bundled'] !== 'false',
    deployMode: metadata['clawhq.mode'] === 'local' ? 'local' : 'cloud',
    systemPrompt: system,
    temperature: Number(metadata['clawhq.temperature'] ?? 0.7),
    maxTokens: Number(metadata['clawhq.max_tokens'] ?? 4096),
  };
}

function providerOf(model: string): ProviderName {
  const named = PROVIDERS.find((one) => model.startsWith(`${OURS[one].provider}/`) || OURS[one].models.test(model));
  return named ?? 'claude';
}

/** An agent has one container at most, so its service's id follows from its own. */
export function serviceIdOf(agentId: string): string {
  return idOf('service', agentId.slice(agentId.indexOf('_') + 1));
}

export function containerStatus({ state, health }: Service): ContainerStatus {
  switch (state) {
    case 'running':
      return health === 'unhealthy' ? 'unhealthy' : 'running';
    case 'backoff':
      return 'restarting';
    case 'failed':
      return 'error';
    case 'pending':
    case 'starting':
      return 'starting';
    default:
      return 'stopped';
  }
}

const STATUSES: Readonly<Record<ContainerStatus, ClawHqAgent['status']>> = {
  starting: 'DEPLOYING',
  running: 'RUNNING',
  unhealthy: 'ERROR',
  restarting: 'DEPLOYING',
  stopped: 'STOPPED',
  error: 'ERROR',
};

export function portOf({ url }: Service): number {
  return Number(new URL(url ?? 'http://x:0').port);
}

export function toClawHq(agent: Agent, service: Service | undefined, activity: AgentActivity | undefined): ClawHqAgent {
  const container = service === undefined ? null : containerStatus(service);
  return {
    id: agent.id,
    ...toFields(agent),
    status: container === null ? 'STOPPED' : STATUSES[container],
    containerStatus: container,
    containerPort: service === undefined ? null : portOf(service),
    lastHealthCheck: service?.checked_at ?? null,
    lastHeartbeat: service?.reported?.at ?? null,
    deployedAt: service?.created_at ?? null,
    totalMessages: activity?.messages ?? 0,
    totalTokens: activity?.tokens ?? 0,
    lastActiveAt: activity === undefined ? null : new Date(activity.lastActiveAt).toISOString(),
    createdAt: agent.created_at,
    updatedAt: agent.updated_at,
    machine: null,
  };
}
