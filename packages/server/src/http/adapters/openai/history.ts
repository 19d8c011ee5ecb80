import { createHash } from 'node:crypto';
import type { EventParam } from '@cloister/api';
import { PlatformError } from '../../../base/errors.ts';
import { unsupported } from './refusals.ts';
import type { ChatRequest, Part, ResponseRequest } from './requests.ts';

type Content = Extract<EventParam, { type: 'user.message' }>['content'];
export type Block = Exclude<Content, string>[number];

interface Said {
  readonly role: 'user' | 'assistant';
  readonly blocks: readonly Block[];
}

/** A conversation as its client tells it: what is known, and what is new. */
export interface Told {
  readonly system: string;
  /** Up to the last word of the assistant. */
  readonly history: readonly Said[];
  readonly fresh: readonly Block[];
  /** All that was said, the new included. */
  readonly all: readonly Said[];
}

interface Entry {
  readonly role: string;
  readonly content: string | readonly Part[] | null | undefined;
  readonly pointer: string;
}

export function toldByChat({ messages }: ChatRequest): Told {
  return tell(
    messages.map((message, index) => {
      const pointer = `messages/${index}`;
      if (message.role === 'tool' || message.role === 'function') throw unsupported(`${pointer}/role`, 'results of tools of the client');
      const { tool_calls: calls } = message;
      if (Array.isArray(calls) && calls.length > 0) throw unsupported(`${pointer}/tool_calls`, 'calls of tools of the client');
      return { role: message.role, content: message.content, pointer };
    }),
    '',
    '/messages',
  );
}

export function toldByInput({ input, instructions }: ResponseRequest): Told {
  const system = instructions ?? '';
  if (typeof input === 'string') return tell([{ role: 'user', content: input, pointer: 'input' }], system, '/input');
  const entries = input.flatMap((item, index): Entry[] => {
    const pointer = `input/${index}`;
    const type = item.type ?? 'message';
    // What a client keeps of an earlier answer and gives back; the session has it.
    if (type === 'reasoning') return [];
    if (type !== 'message') throw unsupported(`${pointer}/type`, `items of type ${type.slice(0, 80)}`);
    return [{ role: item.role ?? 'user', content: item.content, pointer }];
  });
  return tell(entries, system, '/input');
}

function tell(entries: readonly Entry[], instructions: string, pointer: string): Told {
  const isSystem = ({ role }: Entry) => role === 'system' || role === 'developer';
  const systems = entries.filter(isSystem).map((entry) => toBlocks(entry).map(textOf).join('\n'));
  const all = entries
    .filter((entry) => !isSystem(entry))
    .map((entry): Said => ({ role: entry.role === 'assistant' ? 'assistant' : 'user', blocks: toBlocks(entry) }));
  const known = all.findLastIndex(({ role }) => role === 'assistant') + 1;
  const fresh = all.slice(known).flatMap(({ blocks }) => blocks);
  if (fresh.length === 0)
    throw new PlatformError('request_invalid', {
      detail: 'There is nothing to answer: the last message is not one of the user, or is empty.',
      fields: [{ pointer, message: 'ends with a message of the user' }],
    });
  return { system: [instructions, ...systems].filter((text) => text !== '').join('\n\n'), history: all.slice(0, known), fresh, all };
}

function toBlocks({ content, pointer }: Entry): Block[] {
  if (content === undefined || content === null || content === '') return [];
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  return content.map((part, index) => toBlock(part, `${pointer}/content/${index}`));
}

function toBlock(part: Part, pointer: string): Block {
  switch (part.type) {
    case 'image_url':
    case 'input_image': {
      const url = typeof part.image_url === 'string' ? part.image_url : part.image_url?.url;
      const image = /^data:(image\/(?:png|jpeg|gif|webp));base64,([A-Za-z0-9+/]*={0,2})$/.exec(url ?? '');
      if (image === null) throw unsupported(pointer, 'images that are no data: URL of a PNG, JPEG, GIF or WebP');
      const [, type = '', data = ''] = image;
      return { type: 'image', source: { type: 'base64', data, media_type: type as 'image/png' } }; // one of the four, by the pattern
    }
    case 'file':
    case 'input_file': {
      const given = part.file_data ?? part.file?.file_data ?? '';
      const file = /^data:([\w.+-]+\/[\w.+-]+);base64,([A-Za-z0-9+/]*={0,2})$/.exec(given);
      if (file === null) throw unsupported(pointer, 'files that do not come in the message as a data: URL');
      const [, type = '', data = ''] = file;
      return { type: 'document', title: part.filename ?? part.file?.filename ?? null, source: { type: 'base64', data, media_type: type } };
    }
    case 'input_audio':
      throw unsupported(pointer, 'audio');
    default:
      return { type: 'text', text: part.text ?? part.refusal ?? '' };
  }
}

export function textOf(block: Block): string {
  return block.type === 'text' && typeof block.text === 'string' ? block.text : `[${block.type}]`;
}

/** What a session that does not know the history is told first. */
export function seeded({ history, fresh }: Told): Block[] {
  if (history.length === 0) return [...fresh];
  const lines = history.map(({ role, blocks }) => `<${role}>\n${blocks.map(textOf).join('\n')}\n</${role}>`);
  const text = `This conversation began elsewhere. So far:\n\n${lines.join('\n')}\n\nGo on with it; the next message is new.`;
  return [{ type: 'text', text }, ...fresh];
}

/** The same for the same conversation with the same agent, and for no other. */
export function fingerprint(agentId: string, system: string, said: readonly Said[]): string {
  const content = said.map(({ role, blocks }) => [role, blocks.map((block) => (block.type === 'text' ? textOf(block) : block))]);
  return createHash('sha256')
    .update(JSON.stringify([agentId, system, content]))
    .digest('hex');
}

export function answered(told: Told, text: string): readonly Said[] {
  return [...told.all, { role: 'assistant', blocks: text === '' ? [] : [{ type: 'text', text }] }];
}
