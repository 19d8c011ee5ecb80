import type { ModelMessage } from 'ai';
import { repairHistory, toolCalls } from './history.ts';
import type { Transcript } from './transcript.ts';

/** The messages of a session, in memory and on disk. */
export interface Conversation {
  messages(): readonly ModelMessage[];
  /** Undefined messages are those that turned out empty. */
  append(messages: readonly (ModelMessage | undefined)[]): void;
  /** The id itself, or another when it was given out before. */
  uniqueCallId(id: string): string;
}

export function createConversation(transcript: Transcript, earlier: readonly ModelMessage[]): Conversation {
  const messages = repairHistory(earlier);
  const used = new Set(
    messages.flatMap((message) => (message.role === 'assistant' ? toolCalls(message) : [])).map((call) => call.toolCallId),
  );
  return {
    messages: () => messages,
    append(added) {
      const present = added.filter((message) => message !== undefined);
      transcript.append(present);
      messages.push(...present);
    },
    uniqueCallId(id) {
      let unique = id;
      for (let count = 2; used.has(unique); count++) unique = `${id}_${count}`;
      used.add(unique);
      return unique;
    },
  };
}
