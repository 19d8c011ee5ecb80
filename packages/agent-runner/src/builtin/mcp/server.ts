import type { McpServer } from '@agentclientprotocol/sdk';
import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { Tool as McpTool } from '@modelcontextprotocol/sdk/types.js';
import { commandEnvironment } from '../../environment.ts';
import { ToolError } from '../tools/tool.ts';
import { resultText } from './result.ts';

const CONNECT_MS = 30_000;
const CALL_MS = 300_000;
/** However often a call tells of its progress. */
const CALL_TOTAL_MS = 1_800_000;
const MAX_TOOLS = 256;

export interface McpConnection {
  readonly name: string;
  /** Connects, or connects again after it was lost. Never rejects: what is wrong is the problem. */
  ready(): Promise<void>;
  /** Those of now; they change while the server lives. */
  tools(): readonly McpTool[];
  /** Why it cannot be used. */
  problem(): string | undefined;
  /** Throws `ToolError` with what the server said. */
  call(tool: string, input: unknown, signal: AbortSignal): Promise<string>;
  close(): Promise<void>;
}

export interface McpDeps {
  readonly cwd: string;
  /** Leads to the gateway, whatever the address says. */
  readonly fetch: typeof globalThis.fetch;
}

/** One server of the session. It lives as long as the session, and a call to it fails by itself alone. */
export function createConnection(server: McpServer, deps: McpDeps): McpConnection {
  let client: Client | undefined;
  let tools: readonly McpTool[] = [];
  let problem: string | undefined;
  let connecting: Promise<void> | undefined;
  let isClosed = false;

  async function connect(): Promise<void> {
    const made = await createClient();
    made.onclose = () => {
      if (client !== made) return;
      client = undefined;
      tools = [];
      problem = 'the connection to it ended';
    };
    // Its diagnostics; a call that they concern fails by itself.
    made.onerror = (error) => console.error(`mcp ${server.name}:`, error.message);
    try {
      await made.connect(await createTransport(server, deps), { timeout: CONNECT_MS });
      await onToolsChanged(made, server.name, (listed) => {
        if (client === made) tools = listed;
      });
      tools = await listTools(made);
      client = made;
      problem = undefined;
    } catch (error) {
      problem = reasonOf(error);
      await made.close().catch((cause: unknown) => console.error(`mcp ${server.name}:`, cause));
    }
  }

  return {
    name: server.name,
    async ready() {
      if (client !== undefined || isClosed) return;
      connecting ??= connect()
        .catch((error: unknown) => {
          problem = reasonOf(error);
        })
        .finally(() => {
          connecting = undefined;
        });
      await connecting;
    },
    tools: () => tools,
    problem: () => problem,
    async call(tool, input, signal) {
      if (client === undefined) throw new ToolError(`the MCP server ${server.name} cannot be used: ${problem ?? 'it is not connected'}`);
      const options = {
        signal,
        timeout: CALL_MS,
        maxTotalTimeout: CALL_TOTAL_MS,
        resetTimeoutOnProgress: true,
        onprogress: () => undefined,
      };
      const answer: unknown = await client
        .callTool({ name: tool, arguments: asArguments(input) }, undefined, options)
        .catch((error: unknown) => Promise.reject(new ToolError(`the MCP server ${server.name} failed: ${reasonOf(error)}`)));
      const { text, isError } = resultText(answer);
      if (isError) throw new ToolError(text);
      return text;
    },
    async close() {
      isClosed = true;
      await connecting;
      const open = client;
      client = undefined;
      await open?.close();
    },
  };
}

/** Servers say when their tools have changed; those of before hold until they could be listed again. */
async function onToolsChanged(client: Client, name: string, use: (tools: readonly McpTool[]) => void): Promise<void> {
  const { ToolListChangedNotificationSchema } = await import('@modelcontextprotocol/sdk/types.js');
  client.setNotificationHandler(ToolListChangedNotificationSchema, async () => {
    try {
      use(await listTools(client));
    } catch (error) {
      console.error(`mcp ${name}: its tools could not be listed again:`, error);
    }
  });
}

async function createClient(): Promise<Client> {
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
  return new Client({ name: 'cloister-builtin', version: '0.1.0' }, { capabilities: {} });
}

async function createTransport(server: McpServer, { cwd, fetch }: McpDeps): Promise<Transport> {
  if ('type' in server && server.type === 'http') {
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const headers = Object.fromEntries(server.headers.map(({ name, value }) => [name, value]));
    // As: its optional fields are typed without undefined, which the interface's own are not.
    return new StreamableHTTPClientTransport(new URL(server.url), { fetch, requestInit: { headers } }) as Transport;
  }
  if (!('command' in server)) throw new Error('servers of this kind are not supported');
  const { StdioClientTransport } = await import('@modelcontextprotocol/sdk/client/stdio.js');
  const given = Object.fromEntries(server.env.map(({ name, value }) => [name, value]));
  const env = Object.fromEntries(
    Object.entries({ ...commandEnvironment(), ...given }).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
  return new StdioClientTransport({ command: server.command, args: [...server.args], env, cwd, stderr: 'inherit' });
}

async function listTools(client: Client): Promise<readonly McpTool[]> {
  if (client.getServerCapabilities()?.tools === undefined) return [];
  const tools: McpTool[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.listTools(cursor === undefined ? {} : { cursor }, { timeout: CONNECT_MS });
    tools.push(...page.tools);
    cursor = page.nextCursor;
  } while (cursor !== undefined && tools.length < MAX_TOOLS);
  return tools.slice(0, MAX_TOOLS);
}

function asArguments(input: unknown): Record<string, unknown> {
  return typeof input === 'object' && input !== null ? { ...input } : {};
}

const MAX_REASON = 500;

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.length > MAX_REASON ? `${text.slice(0, MAX_REASON)}…` : text;
}
