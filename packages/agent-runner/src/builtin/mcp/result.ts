import { z } from 'zod';
import { MAX_OUTPUT } from '../tools/output-buffer.ts';

const contentSchema = z.looseObject({
  type: z.string(),
  text: z.string().optional(),
  data: z.string().optional(),
  mimeType: z.string().optional(),
  uri: z.string().optional(),
  name: z.string().optional(),
  resource: z.looseObject({ uri: z.string(), text: z.string().optional(), mimeType: z.string().optional() }).optional(),
});
const resultSchema = z.looseObject({
  content: z.array(contentSchema).default([]),
  structuredContent: z.unknown().optional(),
  isError: z.boolean().optional(),
});

/** What a server's tool has answered, as the model reads it: text, with what is none named, and no more than it can take. */
export function resultText(result: unknown): { readonly text: string; readonly isError: boolean } {
  const parsed = resultSchema.safeParse(result);
  if (!parsed.success) return { text: 'the server answered in a form that is not the protocol’s', isError: true };
  const { content, structuredContent, isError = false } = parsed.data;
  const said = content.map(describe).join('\n');
  const text = said === '' && structuredContent !== undefined ? JSON.stringify(structuredContent) : said;
  return { text: bounded(text === '' ? '(no output)' : text), isError };
}

function describe(block: z.infer<typeof contentSchema>): string {
  const { type, text, data, mimeType, uri, name, resource } = block;
  if (type === 'text') return text ?? '';
  if (type === 'resource_link') return `[${name ?? 'resource'}](${uri ?? ''})`;
  if (resource !== undefined) return resource.text ?? `[resource ${resource.uri} ${resource.mimeType ?? ''}]`;
  return `[${type} ${mimeType ?? ''}, ${Math.floor(((data?.length ?? 0) * 3) / 4)} bytes]`;
}

function bounded(text: string): string {
  return text.length <= MAX_OUTPUT ? text : `${text.slice(0, MAX_OUTPUT)}\n[cut after ${MAX_OUTPUT} of ${text.length} characters]`;
}
