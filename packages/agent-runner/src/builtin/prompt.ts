import { type ContentBlock, RequestError } from '@agentclientprotocol/sdk';
import type { FilePart, TextPart, UserModelMessage } from 'ai';
import type { SessionConfig } from './config.ts';

/** The agent's own instructions, and after them what every agent must know of the place it works in. */
export function systemPrompt(config: SessionConfig, cwd: string, notes: readonly string[] = []): string {
  const place = [
    `You work in a sandbox: a Linux container of your own. Your workspace is ${cwd}; commands start there and what you put there is kept. Outside of it and of your home directory nothing is kept, and most of the file system is read-only.`,
    'There is no network, except for hosts that the operator allows; those are reached through the proxy that HTTPS_PROXY names, if it is set.',
  ].join('\n');
  const own =
    config.system || 'You are a helpful agent. Do what the user asks, with your tools where they help, and say briefly what you did.';
  return [own, place, ...(config.briefing ? [config.briefing] : []), ...notes].join('\n\n');
}

/** The user's message for the model. Throws invalid params for content that no model here can be given. */
export function toUserMessage(blocks: readonly ContentBlock[]): UserModelMessage {
  const content = blocks.map(toPart).filter((part) => part.type !== 'text' || part.text.trim() !== '');
  if (content.length === 0) throw RequestError.invalidParams(undefined, 'the prompt is empty');
  return { role: 'user', content };
}

function toPart(block: ContentBlock): TextPart | FilePart {
  switch (block.type) {
    case 'text':
      return text(block.text);
    case 'image':
      return { type: 'file', mediaType: block.mimeType, data: { type: 'data', data: block.data } };
    case 'resource_link':
      return text(`[${block.title ?? block.name}](${block.uri})${block.description ? ` ${block.description}` : ''}`);
    case 'resource': {
      const { resource } = block;
      if ('text' in resource) return text(`<resource uri="${resource.uri}">\n${resource.text}\n</resource>`);
      return {
        type: 'file',
        mediaType: resource.mimeType ?? 'application/octet-stream',
        filename: fileName(resource.uri),
        data: { type: 'data', data: resource.blob },
      };
    }
    case 'audio':
      throw RequestError.invalidParams(undefined, 'audio is not supported');
  }
}

function text(value: string): TextPart {
  return { type: 'text', text: value };
}

function fileName(uri: string): string {
  return uri.split('/').at(-1) || 'file';
}
