import { randomBytes } from 'node:crypto';
import * as acp from '@agentclientprotocol/sdk';
import { z } from 'zod';
import { parseSessionConfig, type SessionConfig } from './config.ts';
import { createConversation } from './conversation.ts';
import { replay } from './history.ts';
import { createSession, reopenSession, type Session, type SessionDeps } from './session.ts';
import { describeCall } from './tool-calls.ts';
import { createTranscript } from './transcript.ts';

export interface BuiltinAgent {
  readonly app: acp.AgentApp;
  /** Stops all turns and waits until their last words are on disk. */
  close(): Promise<void>;
}

const isBlock = (value: unknown): boolean => typeof value === 'object' && value !== null && 'type' in value;
const steerSchema = z.object({ sessionId: z.string(), prompt: z.array(z.custom<acp.ContentBlock>(isBlock)).min(1) });

const CAPABILITIES: acp.AgentCapabilities = {
  loadSession: true,
  promptCapabilities: { image: true, embeddedContext: true, audio: false },
  mcpCapabilities: { http: true, sse: false },
  sessionCapabilities: { resume: {}, close: {} },
};

/** The built-in agent: the AI SDK's model calls, our tools, and ACP around them. */
export function createBuiltinAgent(deps: SessionDeps): BuiltinAgent {
  const sessions = new Map<string, Session>();
  const findSession = (id: string): Session => {
    const session = sessions.get(id);
    if (session === undefined) throw acp.RequestError.resourceNotFound(id);
    return session;
  };
  const reopen = async (params: acp.ResumeSessionRequest): Promise<Session> => {
    const config = configOf(params);
    await sessions.get(params.sessionId)?.close();
    sessions.delete(params.sessionId);
    const session = reopenSession(deps, { id: params.sessionId, cwd: params.cwd, config, mcpServers: params.mcpServers ?? [] });
    sessions.set(session.id, session);
    return session;
  };

  const app = acp
    .agent({ name: 'cloister-builtin' })
    .onRequest('initialize', () => ({
      protocolVersion: acp.PROTOCOL_VERSION,
      agentCapabilities: CAPABILITIES,
      agentInfo: { name: 'cloister-builtin', title: 'Cloister built-in agent', version: '0.1.0' },
      authMethods: [],
      _meta: { steering: { supported: true } },
    }))
    .onRequest('session/new', ({ params }) => {
      const config = configOf(params);
      const id = randomBytes(16).toString('hex');
      const { cwd, mcpServers } = params;
      const transcript = createTranscript(deps.transcriptDirectory, id);
      sessions.set(id, createSession(deps, { id, cwd, config, mcpServers, transcript, conversation: createConversation(transcript, []) }));
      return { sessionId: id };
    })
    .onRequest('session/resume', async ({ params }) => {
      await reopen(params);
      return {};
    })
    .onRequest('session/load', async ({ params, client }) => {
      const { id, conversation } = await reopen(params);
      const describe = (call: Parameters<typeof describeCall>[0]): acp.SessionUpdate => ({
        sessionUpdate: 'tool_call',
        ...describeCall(call, deps.tools),
        status: 'completed',
      });
      for (const update of replay(conversation.messages(), describe)) await client.notify('session/update', { sessionId: id, update });
      return {};
    })
    .onRequest('session/prompt', ({ params, client, signal }) => promptSafely(findSession(params.sessionId), params, { client, signal }))
    // The extension that claude-agent-acp has as well; the host keeps what is not taken.
    .onRequest('_session/steering', steerSchema, ({ params }) => ({
      outcome: findSession(params.sessionId).steer(params.prompt) ? 'injected' : 'promptRequired',
    }))
    .onRequest('session/close', async ({ params }) => {
      await findSession(params.sessionId).close();
      sessions.delete(params.sessionId);
      return {};
    })
    .onNotification('session/cancel', ({ params }) => sessions.get(params.sessionId)?.cancel());

  return { app, close: async () => void (await Promise.all([...sessions.values()].map((session) => session.close()))) };
}

/** Failures of our own reach the host with their reason, not as the library's bare "Internal error". */
async function promptSafely(
  session: Session,
  params: acp.PromptRequest,
  { client, signal }: { client: acp.AgentContext; signal: AbortSignal },
): Promise<acp.PromptResponse> {
  try {
    return await session.prompt(params.prompt, client, signal);
  } catch (error) {
    if (error instanceof acp.RequestError) throw error;
    console.error(error);
    throw acp.RequestError.internalError({ kind: 'agent_error', message: error instanceof Error ? error.message : String(error) });
  }
}

function configOf(params: Pick<acp.ResumeSessionRequest, '_meta'>): SessionConfig {
  try {
    return parseSessionConfig(params._meta);
  } catch (error) {
    if (error instanceof z.ZodError)
      throw acp.RequestError.invalidParams({ issues: error.issues }, `_meta.cloister: ${z.prettifyError(error)}`);
    throw error;
  }
}
