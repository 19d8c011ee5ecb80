import { randomUUID } from 'node:crypto';
import type { AgentContext, PromptResponse, SessionUpdate, StopReason } from '@agentclientprotocol/sdk';
import type { LanguageModel, LanguageModelUsage, UserModelMessage } from 'ai';
import { untilAborted } from './abort.ts';
import { type Answer, createAnswer } from './answer.ts';
import type { SessionConfig } from './config.ts';
import type { Conversation } from './conversation.ts';
import { toModelError } from './failures.ts';
import type { McpServers } from './mcp/servers.ts';
import { systemPrompt } from './prompt.ts';
import { runStep, type StepEnd } from './step.ts';
import { runToolCalls } from './tool-calls.ts';
import { enabledTools } from './tools/catalog.ts';
import type { ProcessGroups } from './tools/process-groups.ts';
import type { Tool } from './tools/tool.ts';

export interface TurnDeps {
  readonly sessionId: string;
  readonly cwd: string;
  readonly config: SessionConfig;
  readonly client: AgentContext;
  readonly conversation: Conversation;
  readonly model: () => Promise<LanguageModel>;
  readonly tools: readonly Tool[];
  readonly groups: ProcessGroups;
  readonly servers: McpServers;
  readonly abort: AbortController;
  /** Messages that came in while the turn ran. `isLast`: when there are none the turn ends, and takes no more. */
  readonly takeSteered: (look: { readonly isLast: boolean }) => readonly UserModelMessage[];
}

/** One turn: the model is called and its tool calls are run until it stops asking for them. Rejects when the model fails. */
export async function runTurn(deps: TurnDeps, message: UserModelMessage): Promise<PromptResponse> {
  const { conversation, config } = deps;
  const { signal } = deps.abort;
  const { servers } = deps;
  const send = (update: SessionUpdate) => deps.client.notify('session/update', { sessionId: deps.sessionId, update });
  const total = { inputTokens: 0, outputTokens: 0 };
  const respond = (stopReason: StopReason): PromptResponse => ({ stopReason, _meta: { cloister: { usage: { ...total } } } });

  conversation.append([message]);
  // A cancel ends the wait too, and is noticed by the model call.
  await untilAborted(servers.ready(), signal).catch(() => undefined);
  for (let step = 0; step < config.maxSteps; step++) {
    // Servers change their tools as they like.
    const tools = [...enabledTools(deps.tools, config.tools), ...servers.tools()];
    const answer = createAnswer(conversation.uniqueCallId);
    const end = await callModel(deps, { tools, send, answer });
    if (end === 'cancelled') return respond('cancelled');
    addUsage(total, end.usage);
    if (end.finishReason === 'content-filter') {
      conversation.append([answer.partial()]);
      return respond('refusal');
    }
    // On disk before a tool runs: after a crash it must be known what may have happened.
    conversation.append([answer.message()]);
    if (answer.calls().length === 0) {
      const followUps = deps.takeSteered({ isLast: true });
      if (followUps.length === 0) return respond(end.finishReason === 'length' ? 'max_tokens' : 'end_turn');
      conversation.append(followUps);
      continue;
    }
    await runToolCalls(answer.calls(), {
      ...deps,
      tools,
      settings: { ...config.tools, ...servers.settings() },
      signal,
      send,
      cancel: () => deps.abort.abort(),
    });
    if (signal.aborted) return respond('cancelled');
    conversation.append(deps.takeSteered({ isLast: false }));
  }
  return respond('max_turn_requests');
}

interface CallInput {
  readonly tools: readonly Tool[];
  readonly send: (update: SessionUpdate) => Promise<void>;
  readonly answer: Answer;
}

async function callModel(deps: TurnDeps, { tools, send, answer }: CallInput): Promise<StepEnd | 'cancelled'> {
  const { config, conversation, cwd } = deps;
  const { signal } = deps.abort;
  // A stream that was cancelled may still give what it had read; by then the turn has ended.
  // What two steps say are two messages.
  const messageId = randomUUID();
  const say = (sessionUpdate: 'agent_message_chunk' | 'agent_thought_chunk') => async (text: string) => {
    if (!signal.aborted) await send({ sessionUpdate, messageId, content: { type: 'text', text } });
  };
  const run = async () => {
    const model = await deps.model();
    const input = {
      model,
      config,
      system: systemPrompt(config, cwd, deps.servers.notes()),
      messages: conversation.messages(),
      tools,
      signal,
    };
    return runStep({ ...input, onText: say('agent_message_chunk'), onThought: say('agent_thought_chunk') }, answer);
  };
  try {
    return await untilAborted(run(), signal);
  } catch (error) {
    conversation.append([answer.partial()]);
    if (signal.aborted) return 'cancelled';
    throw toModelError(error);
  }
}

function addUsage(total: { inputTokens: number; outputTokens: number }, usage: LanguageModelUsage): void {
  total.inputTokens += usage.inputTokens ?? 0;
  total.outputTokens += usage.outputTokens ?? 0;
}
