import type { ReasoningPart } from '@ai-sdk/provider-utils';
import type { AssistantModelMessage, TextPart, TextStreamPart, ToolCallPart, ToolSet } from 'ai';

/** A tool call as the model asked for it. */
export interface RequestedCall {
  readonly toolCallId: string;
  readonly toolName: string;
  readonly input: unknown;
  /** Why it cannot be run: no such tool, or input that the tool does not take. */
  readonly problem: string | undefined;
}

/** One answer of the model, put together from its stream; usable at any moment, since a stream may end at any. */
export interface Answer {
  add(part: TextStreamPart<ToolSet>): void;
  /** The whole answer; undefined when it is empty. */
  message(): AssistantModelMessage | undefined;
  /** What may be kept of an answer that was cut off: thoughts without their end and calls that will not run may not. */
  partial(): AssistantModelMessage | undefined;
  calls(): readonly RequestedCall[];
}

type Part = TextPart | ReasoningPart | ToolCallPart;
type Metadata = TextPart['providerOptions'];

/** `uniqueId` renames a call whose id was used before in the conversation: some servers count from zero in each answer. */
export function createAnswer(uniqueId: (id: string) => string): Answer {
  const parts: Part[] = [];
  const open = new Map<string, TextPart | ReasoningPart>();
  const calls: RequestedCall[] = [];

  const begin = (type: 'text' | 'reasoning', id: string) => {
    const block: TextPart | ReasoningPart = { type, text: '' };
    open.set(`${type} ${id}`, block);
    parts.push(block);
  };
  const extend = (type: 'text' | 'reasoning', id: string, text: string, metadata: Metadata) => {
    const block = open.get(`${type} ${id}`);
    if (block === undefined) return;
    block.text += text;
    if (metadata !== undefined) block.providerOptions = metadata;
  };

  return {
    add(part) {
      switch (part.type) {
        case 'text-start':
        case 'reasoning-start': {
          const type = part.type === 'text-start' ? 'text' : 'reasoning';
          begin(type, part.id);
          return extend(type, part.id, '', part.providerMetadata);
        }
        case 'text-delta':
          return extend('text', part.id, part.text, part.providerMetadata);
        case 'reasoning-delta':
          return extend('reasoning', part.id, part.text, part.providerMetadata);
        case 'text-end':
          return extend('text', part.id, '', part.providerMetadata);
        case 'reasoning-end':
          return extend('reasoning', part.id, '', part.providerMetadata);
        case 'tool-call': {
          const call = toCall(part, uniqueId(part.toolCallId));
          calls.push(call);
          const { toolCallId, toolName, input } = call;
          parts.push({
            type: 'tool-call',
            toolCallId,
            toolName,
            input,
            ...(part.providerMetadata && { providerOptions: part.providerMetadata }),
          });
          return;
        }
        default:
          return;
      }
    },
    message: () => toMessage(parts.filter((part) => part.type !== 'text' || part.text !== '' || part.providerOptions !== undefined)),
    partial: () => toMessage(parts.filter((part) => part.type === 'text' && part.text.trim() !== '').map(withoutMetadata)),
    calls: () => calls,
  };
}

function toMessage(content: Part[]): AssistantModelMessage | undefined {
  return content.length === 0 ? undefined : { role: 'assistant', content };
}

/** Metadata names items that the provider finished; this one is not. */
function withoutMetadata(part: Part): Part {
  const { providerOptions: _, ...rest } = part;
  return rest;
}

interface CallPart {
  readonly toolName: string;
  readonly input: unknown;
  readonly invalid?: boolean | undefined;
  readonly error?: unknown;
}

function toCall(part: CallPart, toolCallId: string): RequestedCall {
  // Providers take objects only, also for a call that was malformed.
  const input = typeof part.input === 'object' && part.input !== null ? part.input : {};
  const problem = part.invalid === true ? (part.error instanceof Error ? part.error.message : 'the call is malformed') : undefined;
  return { toolCallId, toolName: part.toolName, input, problem };
}
