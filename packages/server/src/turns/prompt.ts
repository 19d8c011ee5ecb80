import type { ContentBlock } from '@agentclientprotocol/sdk';
import { isJsonObject, type JsonObject, type JsonValue } from '../base/json.ts';
import type { ApprovalRow, Store, StoredEvent } from '../store/store.ts';

/** The message's content blocks, as published, in the words of ACP. */
export function toPromptContent(message: StoredEvent): ContentBlock[] {
  const { content } = message.payload;
  const blocks = Array.isArray(content) ? content : [];
  return blocks.flatMap((block) => toBlock(block, message.id));
}

function toBlock(block: JsonValue, messageId: string): ContentBlock[] {
  if (!isJsonObject(block)) return [];
  if (block.type === 'text' && typeof block.text === 'string') return [{ type: 'text', text: block.text }];
  const source = isJsonObject(block.source) ? block.source : {};
  if (typeof source.data !== 'string' || typeof source.media_type !== 'string') return [];
  if (block.type === 'image') return [{ type: 'image', data: source.data, mimeType: source.media_type }];
  const uri = `cloister://messages/${messageId}/${typeof block.title === 'string' ? encodeURIComponent(block.title) : 'document'}`;
  if (source.type === 'text') return [{ type: 'resource', resource: { uri, mimeType: source.media_type, text: source.data } }];
  return [{ type: 'resource', resource: { uri, mimeType: source.media_type, blob: source.data } }];
}

/** What the agent is told when its turn goes on after the process that asked for permission is gone. */
export function continuationContent(approvals: readonly ApprovalRow[]): ContentBlock[] {
  const decisions = approvals
    .filter(({ kind, state }) => kind === 'tool' && (state === 'granted' || state === 'denied' || state === 'expired'))
    .map((approval) => {
      const call = `${approval.toolName} ${JSON.stringify(approval.input)}`;
      if (approval.state === 'granted') return `- approved: ${call}. Make this exact call again now.`;
      return `- denied: ${call}${approval.denyMessage === null ? '' : ` (${approval.denyMessage})`}. Do not make this call.`;
    });
  const text =
    decisions.length === 0
      ? 'Your environment was restarted while you waited for more budget. There is more now. Go on with the task.'
      : [
          'Your environment was restarted while a tool call waited for permission; the call has not run. The decision is in:',
          ...decisions,
          'Go on with the task.',
        ].join('\n');
  return [{ type: 'text', text }];
}

/** How much of the log an agent that lost its own memory is given, newest first. */
const PRIMING_EVENTS = 200;
const PRIMING_CHARACTERS = 50_000;

/** The conversation so far, from the log, for an agent whose own transcript is gone. Empty when there was none. */
export async function primingContent(store: Store, message: StoredEvent): Promise<ContentBlock[]> {
  const { tenantId, sessionId } = message;
  const page = await store.events.list({
    tenantId,
    sessionId,
    types: ['user.message', 'agent.message'],
    limit: PRIMING_EVENTS,
    order: 'desc',
  });
  const lines: string[] = [];
  let size = 0;
  for (const event of page.data) {
    if (event.seq >= message.seq) continue;
    const line = `${event.type === 'user.message' ? 'User' : 'You'}: ${textOf(event.payload)}`;
    size += line.length;
    if (size > PRIMING_CHARACTERS) break;
    lines.unshift(line);
  }
  if (lines.length === 0) return [];
  return [
    {
      type: 'text',
      text: `Your memory of this conversation was lost. It went like this:\n\n${lines.join('\n\n')}\n\nThe user's next message follows.`,
    },
  ];
}

function textOf(payload: JsonObject): string {
  const blocks = Array.isArray(payload.content) ? payload.content : [];
  return blocks.map((block) => (isJsonObject(block) && typeof block.text === 'string' ? block.text : '[attachment]')).join('\n');
}
