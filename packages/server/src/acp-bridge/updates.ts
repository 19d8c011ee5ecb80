import type * as acp from '@agentclientprotocol/sdk';
import { type Preview, type SessionEvent, type ToolUseEvent, toolNameOf, toolUseIdOf } from '@cloister/api';
import { toBlocks } from './content.ts';

/** Says what happens in a session in the words of ACP, each text once whether it came in pieces or whole. */
export interface Updates {
  /** The pieces of a message that is being written. */
  ofPreview(preview: Preview): readonly acp.SessionUpdate[];
  ofEvent(event: SessionEvent): readonly acp.SessionUpdate[];
}

/** With `isReplay`, what the user said is told as well: a client that sends a message has shown it. */
export function createUpdates({ isReplay }: { readonly isReplay: boolean }): Updates {
  const said = new Map<string, string>();
  const message = (id: string, text: string): acp.SessionUpdate[] => [
    { sessionUpdate: 'agent_message_chunk', messageId: id, content: { type: 'text', text } },
  ];

  return {
    ofPreview(preview) {
      if (preview.type === 'event_start') {
        if (preview.event.type === 'agent.message') said.set(preview.event.id, '');
        return [];
      }
      const { text } = preview.delta.content;
      const before = said.get(preview.event_id);
      // Its beginning was missed: it comes whole.
      if (before === undefined) return [];
      said.set(preview.event_id, before + text);
      return message(preview.event_id, text);
    },
    ofEvent(event) {
      switch (event.type) {
        case 'user.message':
          return isReplay
            ? toBlocks(event.content).map((content) => ({ sessionUpdate: 'user_message_chunk', messageId: event.id, content }))
            : [];
        case 'agent.message': {
          const text = event.content.map((block) => block.text).join('');
          const before = said.get(event.id) ?? '';
          said.delete(event.id);
          // Also when nothing is left to say: it brings the seq, up to which all has been told then.
          return message(event.id, text.startsWith(before) ? text.slice(before.length) : '');
        }
        case 'agent.tool_use':
        case 'agent.mcp_tool_use':
          return [{ sessionUpdate: 'tool_call', ...toolCall(event) }];
        case 'agent.tool_result':
        case 'agent.mcp_tool_result':
          return [
            {
              sessionUpdate: 'tool_call_update',
              toolCallId: toolUseIdOf(event),
              status: event.is_error ? 'failed' : 'completed',
              content: event.content.map((block) => ({ type: 'content', content: { type: 'text', text: block.text } })),
            },
          ];
        default:
          return [];
      }
    },
  };
}

/** By the seq of the last event it has seen an editor asks for what comes after it. */
export function metaOf(seq: number | undefined): { readonly _meta?: { readonly cloister: { readonly seq: number } } } {
  return seq === undefined ? {} : { _meta: { cloister: { seq } } };
}

/** Of `_meta.cloister.after`; 0 for all. */
export function afterOf(meta: Readonly<Record<string, unknown>> | null | undefined): number {
  const own = meta?.cloister;
  const after = typeof own === 'object' && own !== null ? Reflect.get(own, 'after') : undefined;
  return typeof after === 'number' && Number.isSafeInteger(after) && after > 0 ? after : 0;
}

const KINDS: Readonly<Record<string, acp.ToolKind>> = {
  bash: 'execute',
  edit: 'edit',
  write: 'edit',
  read: 'read',
  glob: 'search',
  grep: 'search',
  web_search: 'search',
  web_fetch: 'fetch',
};

const MAX_TITLE = 120;

export function toolCall(event: ToolUseEvent): acp.ToolCall {
  const { command, file_path: file, path, pattern, url, query } = event.input;
  const about = [command, file, path, pattern, url, query].find((value) => typeof value === 'string');
  const name = toolNameOf(event);
  const title = typeof about === 'string' ? `${name}: ${about}` : name;
  return {
    toolCallId: event.id,
    title: title.length > MAX_TITLE ? `${title.slice(0, MAX_TITLE - 1)}…` : title,
    kind: KINDS[name.toLowerCase()] ?? 'other',
    status: event.evaluated_permission === 'ask' ? 'pending' : 'in_progress',
    rawInput: event.input,
  };
}
