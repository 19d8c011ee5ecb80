import * as acp from '@agentclientprotocol/sdk';
import { type Client, ClientError, isToolResult, isToolUse, type Session, type ToolUseEvent, toolUseIdOf } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { VERSION } from '../base/version.ts';
import { persist } from './patience.ts';
import { type BridgeDeps, follow, type RunningPrompt, runPrompt } from './turn.ts';
import { afterOf, createUpdates, metaOf } from './updates.ts';

export interface BridgeOptions {
  readonly client: Client;
  readonly clock: Clock;
  /** Makes the session that the editor asks for; answers its id. */
  readonly newSession: () => Promise<string>;
  readonly onError: (error: unknown) => void;
}

const CAPABILITIES: acp.AgentCapabilities = {
  loadSession: true,
  promptCapabilities: { image: true, embeddedContext: true },
  sessionCapabilities: { list: {}, resume: {}, close: {} },
};
const PAGE = 1000;

/**
 * A remote agent as an editor knows a local one: sessions of the server, in the words of ACP. The agent's files and
 * tools are in its sandbox, not on the editor's machine.
 */
export function bridgeApp(options: BridgeOptions): acp.AgentApp {
  const { client, clock, onError } = options;
  const running = new Map<string, RunningPrompt>();
  const followed = new Map<string, AbortController>();
  const gone = new AbortController();
  const depsOf = (editor: acp.AgentContext, signal: AbortSignal = gone.signal): BridgeDeps => ({ client, clock, editor, signal, onError });
  const get = (id: string): Promise<Session> => called(persist(clock, gone.signal, () => client.sessions.get(id)));

  /** A turn that is under way when a session is opened is told of to its end. */
  function attach(editor: acp.AgentContext, session: Session, { seq: after, waiting }: Seen): void {
    if (session.status === 'terminated' || session.archived_at !== null) return;
    const stop = new AbortController();
    detach(session.id);
    followed.set(session.id, stop);
    const signal = AbortSignal.any([gone.signal, stop.signal]);
    const items = client.events.stream(session.id, { after, deltas: ['agent.message'], signal });
    follow(depsOf(editor, signal), { sessionId: session.id, items, waiting }).catch((error: unknown) => {
      if (!signal.aborted) onError(error);
    });
  }

  function detach(sessionId: string): void {
    followed.get(sessionId)?.abort();
    followed.delete(sessionId);
  }

  return acp
    .agent()
    .onConnect((connection) => void connection.closed.then(() => gone.abort()))
    .onRequest('initialize', () => ({
      protocolVersion: acp.PROTOCOL_VERSION,
      agentInfo: { name: 'cloister', title: 'Cloister', version: VERSION },
      agentCapabilities: CAPABILITIES,
      authMethods: [],
    }))
    .onRequest('session/new', async () => ({ sessionId: await called(options.newSession()) }))
    .onRequest('session/load', async ({ params, client: editor }) => {
      const session = await get(params.sessionId);
      const seen = await readLog(client, session.id, { editor, after: afterOf(params._meta) });
      if (await isUnderWay(client, session)) attach(editor, session, seen);
      return {};
    })
    .onRequest('session/resume', async ({ params, client: editor }) => {
      const session = await get(params.sessionId);
      if (await isUnderWay(client, session)) attach(editor, session, await readLog(client, session.id));
      return {};
    })
    .onRequest('session/list', async ({ params }) => {
      const { data, next_page } = await called(client.sessions.list({ limit: 50, page: params.cursor ?? undefined }));
      return { sessions: data.map((session) => toInfo(session, params.cwd)), nextCursor: next_page };
    })
    .onRequest('session/close', ({ params }) => {
      detach(params.sessionId);
      return {};
    })
    .onRequest('session/prompt', async ({ params, client: editor }) => {
      if (running.has(params.sessionId)) throw acp.RequestError.invalidRequest(undefined, 'the session answers a prompt already');
      detach(params.sessionId);
      const prompt = runPrompt(depsOf(editor), params);
      running.set(params.sessionId, prompt);
      return called(prompt.done).finally(() => running.delete(params.sessionId));
    })
    .onNotification('session/cancel', async ({ params }) => {
      const prompt = running.get(params.sessionId);
      const stopped = prompt === undefined ? interrupt(client, params.sessionId) : prompt.cancel();
      // One that has ended meanwhile is as good as cancelled.
      await stopped.catch((error: unknown) => {
        if (!(error instanceof ClientError && error.code === 'turn_ended')) onError(error);
      });
    });
}

async function interrupt(client: Client, sessionId: string): Promise<void> {
  await client.events.send(sessionId, [{ type: 'user.interrupt' }]);
}

/** A session that waits for an approval is idle by its status, and still has a turn. */
async function isUnderWay(client: Client, session: Session): Promise<boolean> {
  const { data } = await client.turns.list({ session_id: session.id, 'states[]': ['queued', 'running', 'waiting_approval'], limit: 1 });
  return data.length > 0;
}

interface Seen {
  readonly seq: number;
  /** Questions that nobody has answered yet. */
  readonly waiting: readonly ToolUseEvent[];
}

interface Teller {
  readonly editor?: acp.AgentContext;
  /** What the editor has seen already. */
  readonly after?: number;
}

/** Reads the log so far, and tells it to the editor. */
async function readLog(client: Client, sessionId: string, { editor, after = 0 }: Teller = {}): Promise<Seen> {
  const updates = createUpdates({ isReplay: true });
  const waiting = new Map<string, ToolUseEvent>();
  let seq = 0;
  let page: string | undefined;
  do {
    const next = await called(client.events.list(sessionId, { limit: PAGE, order: 'asc', page }));
    for (const event of next.data) {
      seq = event.seq;
      const told = event.seq > after ? updates.ofEvent(event) : [];
      for (const update of told) await editor?.notify('session/update', { sessionId, update, ...metaOf(event.seq) });
      if (isToolUse(event) && event.evaluated_permission === 'ask') waiting.set(event.id, event);
      if (event.type === 'user.tool_confirmation') waiting.delete(event.tool_use_id);
      if (isToolResult(event)) waiting.delete(toolUseIdOf(event));
      if (event.type === 'turn.ended') waiting.clear();
    }
    page = next.next_page ?? undefined;
  } while (page !== undefined);
  return { seq, waiting: [...waiting.values()] };
}

function toInfo(session: Session, cwd: string | null | undefined): acp.SessionInfo {
  // The editor lists by its own directory; a remote session has none of its machine.
  return { sessionId: session.id, cwd: cwd ?? '/workspace', title: session.title, updatedAt: session.updated_at };
}

/** What the server refuses, as the editor's error. */
async function called<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    if (error.code === 'session_not_found') throw acp.RequestError.resourceNotFound();
    const data = { code: error.code, fix: error.fix, request_id: error.requestId };
    if (error.status === 401) throw acp.RequestError.authRequired(data, error.message);
    throw error.status < 500 ? acp.RequestError.invalidParams(data, error.message) : acp.RequestError.internalError(data, error.message);
  }
}
