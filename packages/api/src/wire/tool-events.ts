import type { SessionEvent } from './events.ts';

/** The events of a tool call that begins: of the agent's own tools, and of those of MCP servers. */
export const TOOL_USE_TYPES = ['agent.tool_use', 'agent.mcp_tool_use'] as const;
export type ToolUseEvent = Extract<SessionEvent, { type: (typeof TOOL_USE_TYPES)[number] }>;

/** What a tool has answered. */
export const TOOL_RESULT_TYPES = ['agent.tool_result', 'agent.mcp_tool_result'] as const;
export type ToolResultEvent = Extract<SessionEvent, { type: (typeof TOOL_RESULT_TYPES)[number] }>;

interface Typed {
  readonly type: string;
}

/** True for every event that says that a tool is called, whoever has the tool. */
export function isToolUse<E extends Typed>(event: E): event is E & { readonly type: (typeof TOOL_USE_TYPES)[number] } {
  return TOOL_USE_TYPES.some((type) => type === event.type);
}

export function isToolResult<E extends Typed>(event: E): event is E & { readonly type: (typeof TOOL_RESULT_TYPES)[number] } {
  return TOOL_RESULT_TYPES.some((type) => type === event.type);
}

/** The id of the event that the result is of. */
export function toolUseIdOf(event: ToolResultEvent): string {
  return event.type === 'agent.tool_result' ? event.tool_use_id : event.mcp_tool_use_id;
}

/** A tool's own name as agents write it into that of `mcpToolName`: they replace what models' interfaces do not take. */
export function mcpToolKey(tool: string): string {
  return tool.replaceAll(/[^A-Za-z0-9_-]/g, '_');
}

/** The one name that models and permission rules know a tool of an MCP server by. */
export function mcpToolName(server: string, tool: string): string {
  return `mcp__${server}__${mcpToolKey(tool)}`;
}

/** The name of the tool as permission rules and approvals have it. */
export function toolNameOf(event: ToolUseEvent): string {
  return event.type === 'agent.tool_use' ? event.name : mcpToolName(event.mcp_server_name, event.name);
}
