import type { AgentCreate, AgentDefinition, AgentSkill, McpServerDefinition, McpServerParam, McpToolset } from '@cloister/api';
import { PlatformError } from '../base/errors.ts';
import { unsupported } from './unsupported.ts';

/** The servers with everything resolved. Throws for a name that is given twice. */
export function resolveMcpServers(params: readonly McpServerParam[]): McpServerDefinition[] {
  const names = new Set<string>();
  return params.map((param, index) => {
    // Agents that write names into those of tools make no difference between these.
    const name = param.name.toLowerCase();
    if (names.has(name)) throw invalid(`/mcp_servers/${index}/name`, 'given twice');
    names.add(name);
    return param.type === 'url' ? param : { ...param, args: param.args ?? [], env: param.env ?? {} };
  });
}

/** The toolset of a server of which nothing is said: all its tools, each asked for. */
export function mcpToolsetOf(server: string): McpToolset {
  const default_config = { enabled: true, permission_policy: { type: 'always_ask' as const } };
  return { type: 'mcp_toolset', mcp_server_name: server, default_config, configs: [] };
}

/** Each server has its toolset and each toolset its server: what is left out would be a guess. */
export function requireToolsets({ tools, mcp_servers }: Pick<AgentDefinition, 'tools' | 'mcp_servers'>): void {
  const servers = new Set(mcp_servers.map(({ name }) => name));
  const toolsets = new Set(tools.flatMap((tool) => (tool.type === 'mcp_toolset' ? [tool.mcp_server_name] : [])));
  for (const [index, tool] of tools.entries())
    if (tool.type === 'mcp_toolset' && !servers.has(tool.mcp_server_name))
      throw invalid(`/tools/${index}/mcp_server_name`, `no MCP server has the name ${JSON.stringify(tool.mcp_server_name)}`);
  for (const [index, { name }] of mcp_servers.entries())
    if (!toolsets.has(name)) throw invalid(`/mcp_servers/${index}`, 'no mcp_toolset in `tools` names it');
}

/** Whether they are there is asked by whoever has the store. */
export function resolveSkills(params: NonNullable<AgentCreate['skills']>): AgentSkill[] {
  const ids = new Set<string>();
  return params.map((param, index) => {
    if (param.type === 'anthropic') throw unsupported(`/skills/${index}/type`, 'the skills of Anthropic');
    if (ids.has(param.skill_id)) throw invalid(`/skills/${index}/skill_id`, 'given twice');
    ids.add(param.skill_id);
    return { type: 'custom', skill_id: param.skill_id, version: param.version ?? 'latest' };
  });
}

function invalid(pointer: string, message: string): PlatformError {
  return new PlatformError('request_invalid', { detail: `The agent is not clear: ${message}.`, fields: [{ pointer, message }] });
}
