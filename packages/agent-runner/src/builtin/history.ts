import type { ContentBlock, SessionUpdate } from '@agentclientprotocol/sdk';
import type { AssistantModelMessage, ModelMessage, ToolCallPart, ToolModelMessage, ToolResultPart, UserModelMessage } from 'ai';

export const INTERRUPTED = 'interrupted: the call did not finish';

/**
 * Makes a transcript fit for a model whatever moment its process died at: every tool call gets a result,
 * and results without a call go. Messages of the user may follow each other.
 */
export function repairHistory(messages: readonly ModelMessage[]): ModelMessage[] {
  const repaired: ModelMessage[] = [];
  let open = new Map<string, ToolCallPart>();
  const closeOpen = () => {
    for (const call of open.values()) repaired.push(toolMessage(call, INTERRUPTED, true));
    open = new Map();
  };
  for (const message of messages) {
    if (message.role === 'tool') {
      const content = message.content.filter((part) => part.type === 'tool-result' && open.delete(part.toolCallId));
      if (content.length > 0) repaired.push({ ...message, content });
      continue;
    }
    closeOpen();
    repaired.push(message);
    if (message.role === 'assistant') open = new Map(toolCalls(message).map((call) => [call.toolCallId, call]));
  }
  closeOpen();
  return repaired;
}

export function toolMessage(
  call: { readonly toolCallId: string; readonly toolName: string },
  text: string,
  isError: boolean,
): ToolModelMessage {
  const output: ToolResultPart['output'] = isError ? { type: 'error-text', value: text } : { type: 'text', value: text };
  return { role: 'tool', content: [{ type: 'tool-result', toolCallId: call.toolCallId, toolName: call.toolName, output }] };
}

export function toolCalls(message: AssistantModelMessage): ToolCallPart[] {
  return typeof message.content === 'string' ? [] : message.content.filter((part) => part.type === 'tool-call');
}

/** The conversation as the updates that session/load sends. `describe` says what a tool call looks like. */
export function replay(messages: readonly ModelMessage[], describe: (call: ToolCallPart) => SessionUpdate): SessionUpdate[] {
  return messages.flatMap((message): SessionUpdate[] => {
    if (message.role === 'user') return contentOf(message).flatMap(userUpdate);
    if (message.role === 'assistant') return contentOf(message).flatMap((part) => assistantUpdate(part, describe));
    if (message.role === 'tool') return message.content.flatMap((part) => (part.type === 'tool-result' ? [resultUpdate(part)] : []));
    return [];
  });
}

type UserPart = Exclude<UserModelMessage['content'], string>[number];

interface AnyPart {
  readonly type: string;
}

function contentOf<P extends AnyPart>(message: {
  readonly content: string | readonly P[];
}): readonly (P | { readonly type: 'text'; readonly text: string })[] {
  return typeof message.content === 'string' ? [{ type: 'text', text: message.content }] : message.content;
}

function userUpdate(part: UserPart): SessionUpdate[] {
  return [{ sessionUpdate: 'user_message_chunk', content: userContent(part) }];
}

function userContent(part: UserPart): ContentBlock {
  if (part.type === 'text') return { type: 'text', text: part.text };
  const data =
    part.type === 'file' && typeof part.data === 'object' && 'type' in part.data && part.data.type === 'data' ? part.data.data : undefined;
  if (part.type !== 'file' || typeof data !== 'string' || !part.mediaType.startsWith('image/'))
    return { type: 'text', text: '[attachment]' };
  return { type: 'image', mimeType: part.mediaType, data };
}

function assistantUpdate(part: AnyPart | ToolCallPart, describe: (call: ToolCallPart) => SessionUpdate): SessionUpdate[] {
  if (part.type === 'tool-call' && 'toolCallId' in part) return [describe(part)];
  if (!('text' in part)) return [];
  const content = { type: 'text' as const, text: String(part.text) };
  if (part.type === 'text') return [{ sessionUpdate: 'agent_message_chunk', content }];
  return part.type === 'reasoning' && content.text !== '' ? [{ sessionUpdate: 'agent_thought_chunk', content }] : [];
}

function resultUpdate({ toolCallId, output }: ToolResultPart): SessionUpdate {
  const text = output.type === 'text' || output.type === 'error-text' ? output.value : JSON.stringify(output);
  return {
    sessionUpdate: 'tool_call_update',
    toolCallId,
    status: output.type === 'error-text' ? 'failed' : 'completed',
    rawOutput: text,
    content: [{ type: 'content', content: { type: 'text', text } }],
  };
}
