import * as acp from '@agentclientprotocol/sdk';
import type { EventParam } from '@cloister/api';

type Content = Extract<EventParam, { type: 'user.message' }>['content'];
type Block = Exclude<Content, string>[number];

const IMAGES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'] as const;

/** What an editor sends, as a message. Files of the editor’s machine are named, and come only where their text is sent along. */
export function toContent(prompt: readonly acp.ContentBlock[]): Block[] {
  return prompt.map((block): Block => {
    switch (block.type) {
      case 'text':
        return { type: 'text', text: block.text };
      case 'image': {
        const type = IMAGES.find((one) => one === block.mimeType);
        if (type === undefined) throw acp.RequestError.invalidParams(undefined, `images of the type ${block.mimeType} are not supported`);
        return { type: 'image', source: { type: 'base64', media_type: type, data: block.data } };
      }
      case 'resource_link':
        return { type: 'text', text: `[${block.title ?? block.name}](${block.uri})` };
      case 'resource': {
        const { resource } = block;
        if ('text' in resource) return { type: 'text', text: `<file uri="${resource.uri}">\n${resource.text}\n</file>` };
        const source = { type: 'base64' as const, media_type: resource.mimeType ?? 'application/octet-stream', data: resource.blob };
        return { type: 'document', title: resource.uri.slice(-256), source };
      }
      default:
        throw acp.RequestError.invalidParams(undefined, `content of the type ${block.type} is not supported`);
    }
  });
}

export function toBlocks(content: readonly Block[]): acp.ContentBlock[] {
  return content.map((block): acp.ContentBlock => {
    if (block.type === 'text' && typeof block.text === 'string') return { type: 'text', text: block.text };
    const source = 'source' in block ? block.source : undefined;
    if (block.type === 'image' && isBase64(source)) return { type: 'image', mimeType: source.media_type, data: source.data };
    return { type: 'text', text: `[${block.type}]` };
  });
}

function isBase64(source: unknown): source is { readonly media_type: string; readonly data: string } {
  return typeof source === 'object' && source !== null && 'media_type' in source && 'data' in source;
}
