import { type Readable, Writable } from 'node:stream';
import * as acp from '@agentclientprotocol/sdk';
import type { McpServerDefinition } from '@cloister/api';
import { PlatformError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import { SANDBOX_GATEWAY_URL } from '../harness.ts';

/** A frame longer than this ends the connection: the agent is hostile and memory is ours. */
const MAX_FRAME_BYTES = 32 * 1024 * 1024;

export interface PromptHandlers {
  /** Called in the order of arrival; must not throw. */
  onUpdate(update: acp.SessionUpdate): void;
  /** Decides on a tool call; the agent waits for it. */
  onPermission(request: acp.RequestPermissionRequest): Promise<PermissionAnswer>;
}

export type PermissionAnswer =
  | { readonly type: 'allow' }
  | { readonly type: 'deny'; readonly message: string | null }
  | { readonly type: 'cancelled' };

export interface PromptResult {
  readonly stopReason: acp.StopReason;
}

/** What the agent takes in a message. */
export interface PromptPowers {
  readonly image: boolean;
  /** Texts by their address. */
  readonly embeddedContext: boolean;
  readonly pdf: boolean;
}

/** One agent program on the other end of a pair of streams. */
export interface AgentConnection {
  /** Opens the conversation anew, or goes on with an earlier one by the best way the agent has. */
  openSession(input: {
    cwd: string;
    meta: JsonObject;
    mcpServers?: readonly McpServerDefinition[] | undefined;
    harnessSessionId: string | null;
  }): Promise<{ readonly sessionId: string; readonly isResumed: boolean }>;
  /** One turn. Rejects with `AgentFailure` when the agent answers an error, with `sandbox_exited` when the connection is gone. */
  prompt(input: { sessionId: string; content: readonly acp.ContentBlock[] } & PromptHandlers): Promise<PromptResult>;
  /** What a message may hold besides text. */
  readonly powers: PromptPowers;
  /** Whether a message can be handed to a turn that runs. */
  readonly canSteer: boolean;
  /** Hands a message to the turn that runs; false when none runs any more, and the agent has not taken it. */
  steer(input: { sessionId: string; content: readonly acp.ContentBlock[] }): Promise<boolean>;
  /** Asks the agent to stop the turn; its prompt then ends as cancelled. */
  cancel(sessionId: string): Promise<void>;
  readonly closed: Promise<void>;
  close(): void;
}

/** The extension by which agents take messages into a running turn; told in the `_meta` of initialize. */
const STEER_METHOD = '_session/steering';
const STEER_META = { steering: { idleBehavior: 'promptRequired' } };

/** The agent answered a request with a JSON-RPC error. */
export class AgentFailure extends Error {
  readonly data: unknown;
  readonly rpcCode: number;

  constructor(message: string, rpcCode: number, data: unknown) {
    super(message);
    this.name = 'AgentFailure';
    this.rpcCode = rpcCode;
    this.data = data;
  }
}

/** Connects and shakes hands. Rejects when the agent speaks another version of the protocol. */
export async function connectAgent(stdin: Writable, stdout: Readable): Promise<AgentConnection> {
  let handlers: PromptHandlers | undefined;
  const app = acp
    .client()
    .onNotification('session/update', ({ params }) => handlers?.onUpdate(params.update))
    .onRequest('session/request_permission', async ({ params }) =>
      toOutcome(params, handlers === undefined ? { type: 'cancelled' } : await handlers.onPermission(params)),
    );
  const connection = app.connect(acp.ndJsonStream(Writable.toWeb(stdin), toWebReadable(stdout), { maxMessageBytes: MAX_FRAME_BYTES }));
  const { agent } = connection;
  const call = <T>(request: Promise<T>): Promise<T> => request.catch((error: unknown) => Promise.reject(toFailure(error)));
  const hello = await call(
    agent.request('initialize', {
      protocolVersion: acp.PROTOCOL_VERSION,
      clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
    }),
  );
  if (hello.protocolVersion !== acp.PROTOCOL_VERSION)
    throw new PlatformError('harness_failed', {
      detail: `The agent speaks ACP version ${hello.protocolVersion}, not ${acp.PROTOCOL_VERSION}.`,
    });
  const capabilities = hello.agentCapabilities;
  return {
    powers: powersOf(capabilities),
    async openSession({ cwd, meta, mcpServers = [], harnessSessionId }) {
      const servers = toMcpServers(mcpServers, capabilities?.mcpCapabilities?.http === true);
      const common: acp.NewSessionRequest = { cwd, mcpServers: servers, _meta: { ...meta } };
      if (harnessSessionId !== null && (await reopen(agent, capabilities, harnessSessionId, common)))
        return { sessionId: harnessSessionId, isResumed: true };
      const opened = await call(agent.request('session/new', common));
      return { sessionId: opened.sessionId, isResumed: false };
    },
    async prompt({ sessionId, content, onUpdate, onPermission }) {
      handlers = { onUpdate, onPermission };
      try {
        const result = await call(agent.request('session/prompt', { sessionId, prompt: [...content] }));
        return { stopReason: result.stopReason };
      } finally {
        handlers = undefined;
      }
    },
    canSteer: canSteer(hello._meta),
    async steer({ sessionId, content }) {
      const answer = await call(agent.request<unknown>(STEER_METHOD, { sessionId, prompt: [...content], _meta: STEER_META }));
      return fieldOf(answer, 'outcome') === 'injected';
    },
    cancel: (sessionId) => agent.notify('session/cancel', { sessionId }),
    closed: connection.closed,
    close: () => connection.close(),
  };
}

/** Agents say nothing of documents; which of those that take embedded bytes know what to do with one, they tell in `_meta`. */
function powersOf(capabilities: acp.AgentCapabilities | undefined): PromptPowers {
  const { image = false, embeddedContext = false } = capabilities?.promptCapabilities ?? {};
  return { image, embeddedContext, pdf: embeddedContext };
}

/** Those over HTTP are reached by way of the gateway, which knows them by their names. */
function toMcpServers(servers: readonly McpServerDefinition[], takesHttp: boolean): acp.McpServer[] {
  return servers.map((server) => {
    if (server.type === 'stdio') {
      const env = Object.entries(server.env).map(([name, value]) => ({ name, value }));
      return { name: server.name, command: server.command, args: [...server.args], env };
    }
    if (!takesHttp) throw new PlatformError('harness_failed', { detail: 'The agent program cannot use MCP servers over HTTP.' });
    return { type: 'http', name: server.name, url: `${SANDBOX_GATEWAY_URL}/mcp/${server.name}`, headers: [] };
  });
}

function canSteer(meta: unknown): boolean {
  return fieldOf(fieldOf(meta, 'steering'), 'supported') === true;
}

/** A field of what an agent has sent, which may be anything. */
function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/** Resumes without replay where the agent can, else loads (its replay is not new and has no handler). False when it has lost the session. */
async function reopen(
  agent: acp.ClientContext,
  capabilities: acp.AgentCapabilities | undefined,
  sessionId: string,
  common: acp.NewSessionRequest,
): Promise<boolean> {
  try {
    if (capabilities?.sessionCapabilities?.resume) await agent.request('session/resume', { sessionId, ...common });
    else if (capabilities?.loadSession) await agent.request('session/load', { sessionId, ...common });
    else return false;
    return true;
  } catch (error) {
    if (error instanceof acp.RequestError) return false;
    throw toFailure(error);
  }
}

function toOutcome(request: acp.RequestPermissionRequest, answer: PermissionAnswer): acp.RequestPermissionResponse {
  if (answer.type === 'cancelled') return { outcome: { outcome: 'cancelled' } };
  const kind = answer.type === 'allow' ? 'allow_once' : 'reject_once';
  const option = request.options.find((one) => one.kind === kind);
  if (option === undefined) return { outcome: { outcome: 'cancelled' } };
  const meta = answer.type === 'deny' && answer.message !== null ? { _meta: { cloister: { denyMessage: answer.message } } } : {};
  return { outcome: { outcome: 'selected', optionId: option.optionId }, ...meta };
}

function toFailure(error: unknown): Error {
  if (error instanceof acp.RequestError) return new AgentFailure(error.message, error.code, error.data);
  return new PlatformError('sandbox_exited', { detail: 'The connection to the agent ended.', cause: error });
}

/** The pipe as a web stream that ends, instead of failing, when the sandbox goes away. */
function toWebReadable(stdout: Readable): ReadableStream<Uint8Array> {
  let isOpen = true;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const end = () => {
        if (!isOpen) return;
        isOpen = false;
        controller.close();
      };
      stdout.on('data', (chunk: Buffer) => {
        if (!isOpen) return;
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 1) <= 0) stdout.pause();
      });
      stdout.on('end', end).on('close', end).on('error', end);
    },
    pull: () => {
      stdout.resume();
    },
    cancel: () => {
      // A cancelled stream is closed already, and closing it again throws.
      isOpen = false;
      stdout.destroy();
    },
  });
}
