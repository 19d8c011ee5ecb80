import { mcpToolKey } from '@cloister/api';

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
  /** Of MCP servers, by their names; a server that is not there has no tools. */
  readonly byServer?: ReadonlyMap<string, ToolRules> | undefined;
}

export function toolRule(rules: ToolRules, name: string): ToolRule {
  const mcp = parseMcpName(name);
  if (mcp !== undefined) {
    const server = rules.byServer?.get(mcp.server);
    return server === undefined ? OFF : (server.byName.get(mcp.tool) ?? server.fallback);
  }
  return rules.byName.get(name) ?? rules.fallback;
}

const OFF: ToolRule = { enabled: false, policy: 'ask' };

/** A tool of an MCP server, by its own name there. */
export interface McpTool {
  readonly server: string;
  readonly tool: string;
}

/** Whose tool it is, where it is of one of the agent's declared servers. */
export function declaredMcpTool(rules: ToolRules, name: string): McpTool | undefined {
  const mcp = parseMcpName(name);
  return mcp !== undefined && rules.byServer?.has(mcp.server) === true ? mcp : undefined;
}

/** By which the tools of MCP servers are known: `mcp__<server>__<tool>`. A server's name has no two underlines in a row. */
function parseMcpName(name: string): McpTool | undefined {
  const [, server, tool] = /^mcp__(.+?)__(.+)$/s.exec(name) ?? [];
  return server === undefined || tool === undefined ? undefined : { server, tool };
}

interface PermissionPolicy {
  readonly type?: unknown;
}

/** Reads the rules from the resolved `tools` of an agent's definition. No toolset means no built-in tools. */
export function parseToolRules(tools: unknown): ToolRules {
  const toolset = Array.isArray(tools) ? tools.find(isToolset) : undefined;
  const byServer = parseServers(Array.isArray(tools) ? tools : []);
  if (toolset === undefined) return { fallback: { enabled: false, policy: 'allow' }, byName: new Map(), byServer };
  const fallback = parseRule(toolset.default_config, { enabled: true, policy: 'allow' });
  const configs = Array.isArray(toolset.configs) ? toolset.configs : [];
  const byName = new Map<string, ToolRule>();
  for (const config of configs)
    if (isRecord(config) && typeof config.name === 'string') byName.set(config.name, parseRule(config, fallback));
  return { fallback, byName, byServer };
}

function parseServers(tools: readonly unknown[]): ReadonlyMap<string, ToolRules> {
  const servers = new Map<string, ToolRules>();
  for (const tool of tools) {
    if (!isRecord(tool) || tool.type !== 'mcp_toolset' || typeof tool.mcp_server_name !== 'string') continue;
    const fallback = parseRule(tool.default_config, { enabled: true, policy: 'ask' });
    const configs = (Array.isArray(tool.configs) ? tool.configs : []).filter(isRecord);
    const named = configs.flatMap((config): [string, ToolRule][] =>
      typeof config.name === 'string' ? [[mcpToolKey(config.name), parseRule(config, fallback)]] : [],
    );
    servers.set(tool.mcp_server_name, { fallback, byName: new Map(named) });
  }
  return servers;
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
