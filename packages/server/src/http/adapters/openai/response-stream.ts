import type { HttpDeps } from '../../context.ts';
import { followTurn } from '../follow-turn.ts';
import { createTally } from './answer.ts';
import type { Accepted } from './conversation.ts';
import { toOpenAiId } from './ids.ts';
import { outputMessage, type ResponseAbout, textPart, toResponse } from './response-object.ts';

/** The events of a response that is streamed, in the order of OpenAI's. */
export async function* responseFrames(
  deps: HttpDeps,
  { turn, about }: { readonly turn: Accepted; readonly about: ResponseAbout },
  signal: AbortSignal,
): AsyncGenerator<string> {
  let number = 0;
  const frame = (type: string, fields: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number++, ...fields })}\n\n`;
  const tally = createTally();
  const begun = toResponse(about, undefined, deps.clock.now());
  yield frame('response.created', { response: begun });
  yield frame('response.in_progress', { response: begun });
  let index = -1;
  let openId: string | undefined;
  const place = (id: string) => ({ item_id: toOpenAiId('message', id), output_index: index, content_index: 0 });
  const open = (id: string): string => {
    openId = id;
    index++;
    const item = { ...outputMessage(id, '', 'in_progress'), content: [] };
    return (
      frame('response.output_item.added', { output_index: index, item }) +
      frame('response.content_part.added', { ...place(id), part: textPart('') })
    );
  };
  for await (const item of followTurn(deps, { ...turn, signal })) {
    tally.take(item);
    if (item.type === 'text') {
      const before = openId === item.messageId ? '' : open(item.messageId);
      yield before + frame('response.output_text.delta', { ...place(item.messageId), delta: item.text, logprobs: [] });
    } else if (item.event.type === 'agent.message') {
      const { id, content } = item.event;
      const text = content.map((block) => block.text).join('');
      const before = openId === id ? '' : open(id);
      yield before +
        frame('response.output_text.done', { ...place(id), text, logprobs: [] }) +
        frame('response.content_part.done', { ...place(id), part: textPart(text) }) +
        frame('response.output_item.done', { output_index: index, item: outputMessage(id, text) });
    }
  }
  const answer = tally.answer();
  if (answer === undefined) return;
  const response = toResponse(about, answer, deps.clock.now());
  const ends = {
    completed: 'response.completed',
    failed: 'response.failed',
    interrupted: 'response.failed',
    cancelled: 'response.incomplete',
  };
  yield frame(ends[answer.outcome], { response });
}
