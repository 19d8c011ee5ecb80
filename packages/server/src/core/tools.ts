/** Tools of the published agent toolset, by their names there. */
export const TOOLSET_TOOLS = ['bash', 'read', 'write', 'edit', 'glob', 'grep', 'web_fetch', 'web_search'] as const;
export type ToolsetTool = (typeof TOOLSET_TOOLS)[number];

export type ToolPolicy = 'allow' | 'ask';

export interface ToolRule {
  readonly enabled: boolean;
  readonly policy: ToolPolicy;
}

/** What an agent's definition says about its tools: a rule per named tool and one for all others. */
export interface ToolRules {
  readonly fallback: ToolRule;
  readonly byName: ReadonlyMap<string, ToolRule>;
}

export function toolRule(rules: ToolRules, name: string): ToolRule {
  return rules.byName.get(name) ?? rules.fallback;
}

interface PermissionPolicy {
  readonly type?: unknown;
}

/** Reads the rules from the resolved `tools` of an agent's definition. No toolset means no built-in tools. */
export function parseToolRules(tools: unknown): ToolRules {
  const toolset = Array.isArray(tools) ? tools.find(isToolset) : undefined;
  if (toolset === undefined) return { fallback: { enabled: false, policy: 'allow' }, byName: new Map() };
  const fallback = parseRule(toolset.default_config, { enabled: true, policy: 'allow' });
  const configs = Array.isArray(toolset.configs) ? toolset.configs : [];
  const byName = new Map<string, ToolRule>();
  for (const config of configs)
    if (isRecord(config) && typeof config.name === 'string') byName.set(config.name, parseRule(config, fallback));
  return { fallback, byName };
}

function parseRule(value: unknown, fallback: ToolRule): ToolRule {
  if (!isRecord(value)) return fallback;
  const policy = isRecord(value.permission_policy) ? (value.permission_policy as PermissionPolicy).type : undefined;
  return {
    enabled: typeof value.enabled === 'boolean' ? value.enabled : fallback.enabled,
    policy: policy === undefined ? fallback.policy : policy === 'always_allow' ? 'allow' : 'ask',
  };
}

function isToolset(value: unknown): value is { default_config?: unknown; configs?: unknown } {
  return isRecord(value) && value.type === 'agent_toolset_20260401';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
