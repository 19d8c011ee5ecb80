import type { McpServer } from '@agentclientprotocol/sdk';
import { z } from 'zod';
import type { SessionConfig, ToolSettings } from '../config.ts';
import type { Tool } from '../tools/tool.ts';
import { createConnection, type McpConnection, type McpDeps } from './server.ts';

/** The MCP servers of a session. */
export interface McpServers {
  /** Connects what is not connected; one that fails keeps nothing else from working. */
  ready(): Promise<void>;
  /** The tools of now that the session's settings switch on, under the names by which models call them. */
  tools(): readonly Tool[];
  settings(): ToolSettings;
  /** What the model is told of those that cannot be used. */
  notes(): readonly string[];
  close(): Promise<void>;
}

/** What the interfaces of providers take as a tool's name. */
const MAX_NAME = { anthropic: 128, other: 64 };

export function connectServers(servers: readonly McpServer[], config: SessionConfig, deps: McpDeps): McpServers {
  const connections = servers.map((server) => createConnection(server, deps));
  const ready = async () => void (await Promise.all(connections.map((one) => one.ready())));
  // Begun while the host is still thinking about the first message.
  void ready();
  const all = () => connections.flatMap((connection) => toolsOf(connection, config));
  return {
    ready,
    tools: () => distinct(all().map(({ tool }) => tool)),
    settings: () => Object.fromEntries(all().map(({ tool, policy }) => [tool.name, { enabled: true, policy }])),
    notes: () =>
      connections.flatMap((one) => {
        const problem = one.problem();
        return problem === undefined ? [] : [`The tools of the MCP server ${one.name} cannot be used now: ${problem}.`];
      }),
    close: async () => void (await Promise.allSettled(connections.map((one) => one.close()))),
  };
}

interface Offered {
  readonly tool: Tool;
  readonly policy: 'allow' | 'ask';
}

function toolsOf(connection: McpConnection, config: SessionConfig): readonly Offered[] {
  const rules = config.mcp[connection.name];
  const maxName = config.provider === 'anthropic' ? MAX_NAME.anthropic : MAX_NAME.other;
  return connection.tools().flatMap((offered): Offered[] => {
    const key = offered.name.replaceAll(/[^A-Za-z0-9_-]/g, '_');
    const name = `mcp__${connection.name}__${key}`;
    const rule = rules?.tools[key] ?? rules?.fallback ?? { enabled: true, policy: 'ask' as const };
    if (!rule.enabled || name.length > maxName) return [];
    const tool: Tool = {
      name,
      kind: 'other',
      mcpTool: offered.name,
      description: offered.description ?? offered.title ?? offered.name,
      schema: z.unknown(),
      jsonSchema: { ...offered.inputSchema, type: 'object', $schema: undefined },
      title: () => `${connection.name}: ${offered.title ?? offered.name}`,
      run: (input, { signal }) => connection.call(offered.name, input, signal),
    };
    return [{ tool, policy: rule.policy }];
  });
}

/** Two names may become one; the first has it. */
function distinct(tools: readonly Tool[]): readonly Tool[] {
  const seen = new Set<string>();
  return tools.filter(({ name }) => !seen.has(name) && seen.add(name));
}
