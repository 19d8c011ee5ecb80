import {
  type AgentContext,
  methods,
  type PermissionOption,
  type RequestPermissionRequest,
  type SessionUpdate,
  type ToolCall,
} from '@agentclientprotocol/sdk';
import { z } from 'zod';
import { untilAborted } from './abort.ts';
import type { RequestedCall } from './answer.ts';
import type { ToolSettings } from './config.ts';
import type { Conversation } from './conversation.ts';
import { INTERRUPTED, toolMessage } from './history.ts';
import type { ProcessGroups } from './tools/process-groups.ts';
import type { Tool } from './tools/tool.ts';

export interface CallDeps {
  readonly sessionId: string;
  readonly cwd: string;
  readonly client: AgentContext;
  readonly tools: readonly Tool[];
  readonly settings: ToolSettings;
  readonly groups: ProcessGroups;
  readonly conversation: Conversation;
  readonly signal: AbortSignal;
  /** Ends the turn as cancelled. */
  readonly cancel: () => void;
  readonly send: (update: SessionUpdate) => Promise<void>;
}

type Decision = { readonly type: 'allow' } | { readonly type: 'refuse'; readonly text: string };

interface CallResult {
  readonly text: string;
  readonly isError: boolean;
}

/**
 * Runs the calls of one answer, one after the other, since the later may build on the earlier. Permission is
 * asked for all of them at once, so that a person who is away is waited for only once. Every call gets a result,
 * in the transcript as soon as it is there; when the turn is cancelled the rest are marked as interrupted.
 */
export async function runToolCalls(calls: readonly RequestedCall[], deps: CallDeps): Promise<void> {
  for (const call of calls) await deps.send({ sessionUpdate: 'tool_call', ...describeCall(call, deps.tools), status: 'pending' });
  const decisions = calls.map((call) => decide(call, deps));
  for (const [index, call] of calls.entries()) {
    const { text, isError } = await settle(call, decisions[index], deps);
    deps.conversation.append([toolMessage(call, text, isError)]);
    await deps.send({
      sessionUpdate: 'tool_call_update',
      toolCallId: call.toolCallId,
      status: isError ? 'failed' : 'completed',
      rawOutput: text,
      content: [{ type: 'content', content: { type: 'text', text } }],
    });
  }
}

/** What people and the host are told of a call. */
export function describeCall(
  call: { readonly toolCallId: string; readonly toolName: string; readonly input: unknown },
  tools: readonly Tool[],
): ToolCall {
  const tool = tools.find(({ name }) => name === call.toolName);
  return {
    toolCallId: call.toolCallId,
    title: tool?.title(call.input) ?? call.toolName,
    name: call.toolName,
    kind: tool?.kind ?? 'other',
    rawInput: call.input,
    _meta: { cloister: { toolName: call.toolName, input: call.input, ...(tool?.mcpTool === undefined ? {} : { mcpTool: tool.mcpTool }) } },
  };
}

async function settle(call: RequestedCall, decision: Promise<Decision> | undefined, deps: CallDeps): Promise<CallResult> {
  const interrupted: CallResult = { text: INTERRUPTED, isError: true };
  try {
    const decided = await untilAborted(Promise.resolve(decision), deps.signal);
    if (decided?.type !== 'allow') return decided === undefined ? interrupted : { text: decided.text, isError: true };
    await deps.send({ sessionUpdate: 'tool_call_update', toolCallId: call.toolCallId, status: 'in_progress' });
    const tool = deps.tools.find(({ name }) => name === call.toolName);
    if (tool === undefined) return { text: `there is no tool ${call.toolName}`, isError: true };
    const text = await untilAborted(tool.run(call.input, { cwd: deps.cwd, signal: deps.signal, groups: deps.groups }), deps.signal);
    return { text, isError: false };
  } catch (error) {
    if (deps.signal.aborted) return interrupted;
    return { text: error instanceof Error ? error.message : String(error), isError: true };
  }
}

const OPTIONS: PermissionOption[] = [
  { optionId: 'allow', name: 'Allow', kind: 'allow_once' },
  { optionId: 'reject', name: 'Reject', kind: 'reject_once' },
];

const denialParser = z.object({ cloister: z.object({ denyMessage: z.string() }) });

/** Never rejects: the answer may come when nobody waits for it any more. */
async function decide(call: RequestedCall, deps: CallDeps): Promise<Decision> {
  if (call.problem !== undefined) return { type: 'refuse', text: call.problem };
  if (deps.settings[call.toolName]?.policy !== 'ask') return { type: 'allow' };
  try {
    const { sessionId, client, signal } = deps;
    const request: RequestPermissionRequest = { sessionId, toolCall: describeCall(call, deps.tools), options: OPTIONS };
    const answer = await untilAborted(client.request(methods.client.session.requestPermission, request), signal);
    if (answer.outcome.outcome === 'cancelled') {
      deps.cancel();
      return { type: 'refuse', text: INTERRUPTED };
    }
    if (answer.outcome.optionId === 'allow') return { type: 'allow' };
    const denial = denialParser.safeParse(answer._meta);
    return { type: 'refuse', text: `The user denied this tool call${denial.success ? `: ${denial.data.cloister.denyMessage}` : '.'}` };
  } catch (error) {
    return {
      type: 'refuse',
      text: deps.signal.aborted
        ? INTERRUPTED
        : `permission could not be asked for: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}
