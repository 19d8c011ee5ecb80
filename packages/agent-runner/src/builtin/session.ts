import { type AgentContext, type ContentBlock, type McpServer, type PromptResponse, RequestError } from '@agentclientprotocol/sdk';
import type { LanguageModel, UserModelMessage } from 'ai';
import type { SessionConfig } from './config.ts';
import { type Conversation, createConversation } from './conversation.ts';
import { connectServers } from './mcp/servers.ts';
import { createModel, type ModelAccess } from './models.ts';
import { toUserMessage } from './prompt.ts';
import type { ProcessGroups } from './tools/process-groups.ts';
import type { Tool } from './tools/tool.ts';
import { openTranscript, type Transcript } from './transcript.ts';
import { runTurn, type TurnDeps } from './turn.ts';

export interface SessionDeps {
  readonly transcriptDirectory: string;
  readonly access: ModelAccess;
  readonly tools: readonly Tool[];
  readonly groups: ProcessGroups;
}

export interface Session {
  readonly id: string;
  readonly conversation: Conversation;
  /** One turn at a time: rejects with invalid request while another runs. */
  prompt(blocks: readonly ContentBlock[], client: AgentContext, signal: AbortSignal): Promise<PromptResponse>;
  /** Hands a message to the turn that runs, which reads it before its next step; false when none runs. */
  steer(blocks: readonly ContentBlock[]): boolean;
  /** Stops the turn, if there is one; it answers `cancelled`. */
  cancel(): void;
  /** Stops the turn and waits until its last words are on disk. */
  close(): Promise<void>;
}

interface SessionInput {
  readonly id: string;
  readonly cwd: string;
  readonly config: SessionConfig;
  readonly mcpServers: readonly McpServer[];
  readonly transcript: Transcript;
  readonly conversation: Conversation;
}

export function createSession(deps: SessionDeps, { id, cwd, config, mcpServers, transcript, conversation }: SessionInput): Session {
  const servers = connectServers(mcpServers, config, { cwd, fetch: deps.access.fetch });
  const model = modelOf(config, deps.access);

  let abort: AbortController | undefined;
  let steered: UserModelMessage[] = [];
  // Closed by the turn once it has looked for the last time, so that nothing is taken that nobody reads.
  let isOpen = false;
  const takeSteered: TurnDeps['takeSteered'] = ({ isLast }) => {
    const taken = steered;
    steered = [];
    if (isLast && taken.length === 0) isOpen = false;
    return taken;
  };
  let running: Promise<unknown> = Promise.resolve();
  let isClosing = false;
  return {
    id,
    conversation,
    async prompt(blocks, client, signal) {
      if (abort !== undefined) throw RequestError.invalidRequest(undefined, 'a turn is running in this session');
      const message = toUserMessage(blocks);
      const controller = new AbortController();
      steered = [];
      isOpen = true;
      const onAbort = () => controller.abort();
      signal.addEventListener('abort', onAbort, { once: true });
      abort = controller;
      const turn = runTurn(
        {
          sessionId: id,
          cwd,
          config,
          client,
          conversation,
          model,
          tools: deps.tools,
          groups: deps.groups,
          servers,
          abort: controller,
          takeSteered,
        },
        message,
      );
      running = turn.then(
        () => undefined,
        () => undefined,
      );
      try {
        const answer = await turn;
        // Nobody cancelled the turn of a process that is told to end: that it gave no answer is the truth.
        return isClosing ? await new Promise<never>(() => undefined) : answer;
      } finally {
        signal.removeEventListener('abort', onAbort);
        abort = undefined;
        isOpen = false;
      }
    },
    steer(blocks) {
      if (!isOpen || abort === undefined || abort.signal.aborted) return false;
      steered.push(toUserMessage(blocks));
      return true;
    },
    cancel: () => abort?.abort(),
    async close() {
      isClosing = true;
      abort?.abort();
      await running;
      transcript.close();
      await servers.close();
    },
  };
}

/** Made once. The libraries load while the host is still thinking about the first message; a failure shows when they are used. */
function modelOf(config: SessionConfig, access: ModelAccess): () => Promise<LanguageModel> {
  let loading: Promise<LanguageModel> | undefined;
  const model = () => {
    loading ??= createModel(config, access);
    return loading;
  };
  setImmediate(() => void Promise.all([model(), import('ai'), import('node:http')]).catch(() => undefined));
  return model;
}

/** A session of an earlier process, with all it remembers. Throws resource-not-found when there is none. */
export function reopenSession(deps: SessionDeps, input: Pick<SessionInput, 'id' | 'cwd' | 'config' | 'mcpServers'>): Session {
  const opened = openTranscript(deps.transcriptDirectory, input.id);
  if (opened === undefined) throw RequestError.resourceNotFound(input.id);
  return createSession(deps, {
    ...input,
    transcript: opened.transcript,
    conversation: createConversation(opened.transcript, opened.messages),
  });
}
