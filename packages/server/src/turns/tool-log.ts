import { mcpToolKey } from '@cloister/api';
import { type JsonObject, toJsonObject } from '../base/json.ts';
import { declaredMcpTool, type McpTool, parseToolRules } from '../core/tools.ts';
import type { Harness } from '../harness/harness.ts';

/** What the agent says of a tool call, in pieces: ACP's tool_call, tool_call_update and the call in a permission request. */
export interface ToolCallFields {
  readonly toolCallId: string;
  readonly name?: string | null;
  readonly title?: string | null;
  readonly rawInput?: unknown;
  readonly rawOutput?: unknown;
  readonly content?: readonly unknown[] | null;
  readonly _meta?: { readonly [key: string]: unknown } | null;
}

/** What a tool is called here: by rules and approvals, and, of an MCP server's, by its server. */
export interface ToolName {
  readonly name: string;
  readonly mcp?: McpTool | undefined;
}

export type NameTool = (name: string) => ToolName;

/** Names the tools of a session's agent, as its program reports them. */
export function toolNamer(harness: Pick<Harness, 'toolName'> | undefined, agent: JsonObject): NameTool {
  const rules = parseToolRules(agent.tools);
  return (reported) => {
    const name = harness?.toolName(reported) ?? reported;
    return { name, mcp: declaredMcpTool(rules, name) };
  };
}

export interface ToolEntry {
  name: string;
  /** Of a tool of an MCP server that the agent has declared. */
  mcp: McpTool | undefined;
  input: JsonObject;
  eventId: string | undefined;
  /** What kind of event that is: the result is of the same, whatever the agent says of the call later. */
  isMcpEvent: boolean;
  isOver: boolean;
}

export interface ToolLog {
  /** Adds what is new and answers the whole of it. */
  merge(call: ToolCallFields): ToolEntry;
  /** What comes under this id from now on is a new call. */
  renew(toolCallId: string): void;
  resultText(call: ToolCallFields): string;
  /** What the call's tool is called, once it is known. */
  nameOf(toolCallId: string): string | undefined;
  /** True while no call has been logged: no tool can have run. */
  isEmpty(): boolean;
}

/** Longest tool result that goes into the log; the agent itself saw all of it. */
const MAX_RESULT_CHARACTERS = 100_000;

export function createToolLog(nameTool: NameTool): ToolLog {
  const entries = new Map<string, ToolEntry>();
  let hasRenewed = false;
  return {
    merge(call) {
      const entry = entries.get(call.toolCallId) ?? newEntry();
      entries.set(call.toolCallId, entry);
      const name = call.name ?? metaToolName(call) ?? (entry.name === 'tool' ? call.title : undefined);
      if (name !== undefined && name !== null && name !== '') Object.assign(entry, nameTool(name));
      entry.mcp &&= { ...entry.mcp, tool: ownToolName(call, entry.mcp) };
      if (isRecord(call.rawInput) && Object.keys(call.rawInput).length > 0) entry.input = toJsonObject(call.rawInput);
      return entry;
    },
    renew(toolCallId) {
      const entry = entries.get(toolCallId);
      if (entry === undefined) return;
      hasRenewed ||= entry.eventId !== undefined;
      entries.set(toolCallId, { ...entry, eventId: undefined, isOver: false });
    },
    resultText(call) {
      const text = typeof call.rawOutput === 'string' ? call.rawOutput : contentText(call.content ?? []);
      return text.length > MAX_RESULT_CHARACTERS
        ? `${text.slice(0, MAX_RESULT_CHARACTERS)}\n[cut: ${text.length - MAX_RESULT_CHARACTERS} more characters]`
        : text;
    },
    nameOf: (toolCallId) => entries.get(toolCallId)?.name,
    isEmpty: () => !hasRenewed && [...entries.values()].every((entry) => entry.eventId === undefined),
  };
}

function newEntry(): ToolEntry {
  return { name: 'tool', mcp: undefined, input: {}, eventId: undefined, isMcpEvent: false, isOver: false };
}

/** As its server calls it, where the agent says so and it is the tool that was asked about. */
function ownToolName(call: ToolCallFields, { tool }: McpTool): string {
  const own = call._meta?.cloister;
  const mcpTool = isRecord(own) ? own.mcpTool : undefined;
  return typeof mcpTool === 'string' && mcpToolKey(mcpTool) === mcpToolKey(tool) ? mcpTool : tool;
}

/** Agents that predate the `name` field say it in their `_meta`. */
function metaToolName(call: ToolCallFields): string | undefined {
  for (const value of Object.values(call._meta ?? {})) if (isRecord(value) && typeof value.toolName === 'string') return value.toolName;
  return undefined;
}

function contentText(content: readonly unknown[]): string {
  const texts = content.map((item) =>
    isRecord(item) && isRecord(item.content) && typeof item.content.text === 'string' ? item.content.text : '',
  );
  return texts.filter((text) => text !== '').join('\n');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
