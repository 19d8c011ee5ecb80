import type { AgentCreate, AgentDefinition, AgentUpdate, McpToolset, Toolset } from '@cloister/api';
import { PlatformError } from '../base/errors.ts';
import { type Provider, resolveModel } from '../core/model.ts';
import { resolveLimited } from '../environments/networking.ts';
import { mcpToolsetOf, requireToolsets, resolveMcpServers, resolveSkills } from './mcp-and-skills.ts';
import { resolvePermissionRules } from './permission-rules.ts';
import { unsupported } from './unsupported.ts';

export { unsupported } from './unsupported.ts';

/** What this installation can run; asked when an agent is made, so that a message never meets a surprise. */
export interface AgentLimits {
  readonly harnesses: readonly string[];
  readonly defaultHarness: string;
  /** The only provider a harness can use; undefined when it can use any. */
  readonly requiredProvider: (harness: string) => Provider | undefined;
  readonly providers: ReadonlySet<Provider>;
  /** What the tenant has keys for, the operator's among them where it may use those; left out, `providers` for all. */
  readonly providersOf?: ((tenantId: string) => Promise<ReadonlySet<Provider>>) | undefined;
}

/** The limits as they are for one tenant. */
export async function limitsFor(limits: AgentLimits, tenantId: string): Promise<AgentLimits> {
  return limits.providersOf === undefined ? limits : { ...limits, providers: await limits.providersOf(tenantId) };
}

type ToolParams = NonNullable<AgentCreate['tools']>;
type PolicyParam = { readonly type: 'always_allow' | 'always_ask' | 'auto' } | null | undefined;

/** A new agent's definition with everything resolved. Throws what the request asks for and this installation has not. */
export function resolveDefinition(body: AgentCreate, limits: AgentLimits): AgentDefinition {
  refuseUnsupported(body);
  const mcpServers = resolveMcpServers(body.mcp_servers ?? []);
  const everything = () => [fullToolset(), ...mcpServers.map(({ name }) => mcpToolsetOf(name))];
  const definition: AgentDefinition = {
    name: body.name,
    description: body.description || null,
    model: resolveModelParam(body.model),
    system: body.system || null,
    tools: body.tools === undefined || body.tools === null ? everything() : resolveTools(body.tools),
    harness: body.harness ?? limits.defaultHarness,
    follow_up: body.follow_up ?? 'queue',
    max_concurrent_turns: body.max_concurrent_turns ?? null,
    networking: resolveAgentNetworking(body.networking),
    mcp_servers: mcpServers,
    skills: resolveSkills(body.skills ?? []),
    permission_rules: resolvePermissionRules(body.permission_rules),
    metadata: body.metadata ?? {},
  };
  requireRunnable(definition, limits);
  return definition;
}

/** Fields left out stay; null clears; lists are replaced whole; metadata is patched. */
export function mergeDefinition(current: AgentDefinition, body: AgentUpdate, limits: AgentLimits): AgentDefinition {
  refuseUnsupported(body);
  const definition: AgentDefinition = {
    name: body.name ?? current.name,
    description: body.description === undefined ? current.description : body.description || null,
    model: body.model === undefined ? current.model : resolveModelParam(body.model),
    system: body.system === undefined ? current.system : body.system || null,
    tools: body.tools === undefined ? current.tools : resolveTools(body.tools ?? []),
    harness: body.harness ?? current.harness,
    follow_up: body.follow_up ?? current.follow_up,
    max_concurrent_turns: body.max_concurrent_turns === undefined ? current.max_concurrent_turns : body.max_concurrent_turns,
    networking: body.networking === undefined ? current.networking : resolveAgentNetworking(body.networking),
    mcp_servers: body.mcp_servers === undefined ? current.mcp_servers : resolveMcpServers(body.mcp_servers ?? []),
    skills: body.skills === undefined ? current.skills : resolveSkills(body.skills ?? []),
    permission_rules: body.permission_rules === undefined ? current.permission_rules : resolvePermissionRules(body.permission_rules),
    metadata: patchMetadata(current.metadata, body.metadata),
  };
  requireRunnable(definition, limits);
  return definition;
}

export function patchMetadata(
  current: Readonly<Record<string, string>>,
  patch: Readonly<Record<string, string | null>> | null | undefined,
): Record<string, string> {
  const merged: Record<string, string | null> = { ...current, ...patch };
  const kept = Object.entries(merged).filter((entry): entry is [string, string] => entry[1] !== null && entry[1] !== '');
  if (kept.length > 16)
    throw new PlatformError('request_invalid', {
      detail: 'Metadata would have more than 16 pairs.',
      fields: [{ pointer: '/metadata', message: 'at most 16 pairs' }],
    });
  return Object.fromEntries(kept);
}

function resolveAgentNetworking(param: AgentCreate['networking']): AgentDefinition['networking'] {
  if (param === undefined || param === null) return null;
  return param.type === 'none' ? { type: 'none' } : { type: 'limited', ...resolveLimited(param) };
}

function resolveModelParam(model: AgentCreate['model']): AgentDefinition['model'] {
  if (typeof model === 'string') return { id: model };
  if (model.inference_geo) throw unsupported('/model/inference_geo', 'the choice of where a model runs');
  const effort = typeof model.effort === 'string' ? { type: model.effort } : model.effort;
  return { id: model.id, ...(effort ? { effort } : {}), ...(model.speed ? { speed: model.speed } : {}) };
}

export function resolveTools(tools: ToolParams): (Toolset | McpToolset)[] {
  const seen = new Set<string>();
  return tools.map((tool, index) => {
    if (tool.type === 'custom') throw unsupported(`/tools/${index}`, `tools of type ${tool.type}`);
    const key = tool.type === 'mcp_toolset' ? `mcp_toolset ${tool.mcp_server_name}` : tool.type;
    if (seen.has(key))
      throw new PlatformError('request_invalid', {
        detail: 'A toolset is given twice.',
        fields: [{ pointer: `/tools/${index}`, message: 'given twice' }],
      });
    seen.add(key);
    if (tool.type === 'mcp_toolset') return resolveMcpToolset(tool);
    const base = {
      enabled: tool.default_config?.enabled ?? true,
      permission_policy: resolvePolicy(tool.default_config?.permission_policy, { type: 'always_allow' }),
    };
    const named = new Set<string>();
    const configs = (tool.configs ?? []).map((config, at) => {
      const pointer = `/tools/${index}/configs/${at}`;
      refuseToolConfig(config, pointer, named.has(config.name));
      named.add(config.name);
      return {
        type: config.name,
        name: config.name,
        enabled: config.enabled ?? base.enabled,
        permission_policy: resolvePolicy(config.permission_policy, base.permission_policy),
        ...(config.name === 'web_fetch' ? { url_sources: null } : {}),
      };
    });
    return { type: tool.type, default_config: base, configs };
  });
}

const WEB_OPTIONS = ['allowed_domains', 'blocked_domains', 'max_content_tokens', 'url_sources', 'user_location'] as const;
type ToolConfigParam = NonNullable<Extract<ToolParams[number], { type: 'agent_toolset_20260401' }>['configs']>[number];

/** A rule that says two things, or more than is kept to, would be a false promise. */
function refuseToolConfig(config: ToolConfigParam, pointer: string, isNamedBefore: boolean): void {
  const wrong = (at: string, message: string) =>
    new PlatformError('request_invalid', {
      detail: `The rule of the tool ${config.name} is not clear: ${message}.`,
      fields: [{ pointer: at, message }],
    });
  if (isNamedBefore) throw wrong(pointer, 'given twice');
  if (config.type !== undefined && config.type !== config.name) throw wrong(`${pointer}/type`, `${config.type} is another tool`);
  for (const option of WEB_OPTIONS) {
    const value = config[option];
    const isEmpty = value === undefined || value === null || (Array.isArray(value) && value.length === 0);
    if (!isEmpty) throw unsupported(`${pointer}/${option}`, `${option} of a tool; the environment's network says what can be reached`);
  }
}

function resolveMcpToolset(tool: Extract<ToolParams[number], { type: 'mcp_toolset' }>): McpToolset {
  const fallback = mcpToolsetOf(tool.mcp_server_name).default_config;
  const base = {
    enabled: tool.default_config?.enabled ?? fallback.enabled,
    permission_policy: resolvePolicy(tool.default_config?.permission_policy, fallback.permission_policy),
  };
  const configs = (tool.configs ?? []).map(({ name, enabled, permission_policy }) => ({
    name,
    enabled: enabled ?? base.enabled,
    permission_policy: resolvePolicy(permission_policy, base.permission_policy),
  }));
  return { type: 'mcp_toolset', mcp_server_name: tool.mcp_server_name, default_config: base, configs };
}

function resolvePolicy(
  policy: PolicyParam,
  fallback: Toolset['default_config']['permission_policy'],
): Toolset['default_config']['permission_policy'] {
  if (policy === undefined || policy === null) return fallback;
  if (policy.type === 'auto') throw unsupported('/tools', 'the permission policy auto');
  return { type: policy.type };
}

function fullToolset(): Toolset {
  return { type: 'agent_toolset_20260401', default_config: { enabled: true, permission_policy: { type: 'always_allow' } }, configs: [] };
}

function refuseUnsupported(body: Pick<AgentCreate, 'multiagent' | 'execution_identity'>): void {
  if (body.multiagent !== undefined && body.multiagent !== null) throw unsupported('/multiagent', 'multiagent orchestration');
  if (body.execution_identity?.type === 'aws_role') throw unsupported('/execution_identity', 'roles of a cloud');
}

export function requireRunnable(
  definition: Pick<AgentDefinition, 'harness' | 'model' | 'tools' | 'mcp_servers'>,
  limits: AgentLimits,
): void {
  requireToolsets(definition);
  const { harness } = definition;
  if (!limits.harnesses.includes(harness)) {
    throw new PlatformError('harness_unknown', {
      detail: `There is no harness "${harness}" here. There are: ${limits.harnesses.join(', ')}.`,
      fields: [{ pointer: '/harness', message: `one of ${limits.harnesses.join(', ')}` }],
    });
  }
  const choice = resolveModel(definition.model.id, limits.providers);
  const at = { fields: [{ pointer: '/model', message: 'cannot be served here' }] };
  if (choice === undefined)
    throw new PlatformError('model_unknown', { detail: `No provider here serves the model "${definition.model.id}".`, ...at });
  const required = limits.requiredProvider(harness);
  if (required !== undefined && choice.provider !== required)
    throw new PlatformError('model_unknown', {
      detail: `The harness "${harness}" needs a model of ${required}, and "${definition.model.id}" is one of ${choice.provider}.`,
      ...at,
    });
  if (!limits.providers.has(choice.provider))
    throw new PlatformError('provider_not_configured', {
      detail: `The model "${definition.model.id}" needs a key for ${choice.provider}.`,
      ...at,
    });
}
