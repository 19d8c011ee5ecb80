import type { ContentBlock } from '@agentclientprotocol/sdk';
import { isPlatformError } from '../base/errors.ts';
import { asJsonObject, isJsonObject, type JsonValue } from '../base/json.ts';
import { readAll } from '../contents/contents.ts';
import type { StoredFiles } from '../files/stored-files.ts';
import type { PromptPowers } from '../harness/acp/connection.ts';
import type { SessionFiles } from '../sandboxes/session-files.ts';
import type { SessionRow, StoredEvent } from '../store/store.ts';
import { createSafeTree } from '../workspaces/safe-tree.ts';
import { treePlaces } from '../workspaces/workspace-files.ts';

/** The message's content for the agent: what it takes comes to it as it is, the rest lies in its workspace and is named. */
export type Attach = (session: SessionRow, message: StoredEvent, powers: PromptPowers) => Promise<ContentBlock[]>;

export interface AttachmentsDeps {
  readonly storedFiles: Pick<StoredFiles, 'open'>;
  readonly sessionFiles: Pick<SessionFiles, 'ensure'>;
}

const IMAGES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];
const PDF = 'application/pdf';
/** Larger ones go into the workspace: a model would refuse the whole message. */
const MAX_IMAGE_BYTES = 5 * 1024 ** 2;
const MAX_PDF_BYTES = 16 * 1024 ** 2;
const MAX_TEXT_BYTES = 512 * 1024;
const MAX_BYTES = 1024 ** 3;
const FOLDER = 'attachments';

interface Attachment {
  readonly name: string;
  readonly mimeType: string;
  readonly sizeBytes: number;
  readonly chunks: AsyncIterable<Uint8Array>;
  /** What the message says of it. */
  readonly context: string | undefined;
}

export function createAttach(deps: AttachmentsDeps): Attach {
  return async (session, message, powers) => {
    const { content } = message.payload;
    const blocks = Array.isArray(content) ? content : [];
    const made: ContentBlock[] = [];
    for (const [index, block] of blocks.entries()) made.push(...(await toBlocks(deps, { session, message, powers, index, block })));
    return made;
  };
}

interface Input {
  readonly session: SessionRow;
  readonly message: StoredEvent;
  readonly powers: PromptPowers;
  readonly index: number;
  readonly block: JsonValue;
}

async function toBlocks(deps: AttachmentsDeps, input: Input): Promise<ContentBlock[]> {
  const { block, session } = input;
  if (!isJsonObject(block)) return [];
  if (block.type === 'text') return typeof block.text === 'string' ? [text(block.text)] : [];
  try {
    const attachment = await open(deps, session.tenantId, input);
    return attachment === undefined ? [] : await hand(deps, attachment, input);
  } catch (error) {
    // Deleted since the message was sent; the agent can say so.
    if (isPlatformError(error, 'stored_file_not_found')) return [text('[An attached file is not there any more.]')];
    throw error;
  }
}

async function open({ storedFiles }: AttachmentsDeps, tenantId: string, { block, index }: Input): Promise<Attachment | undefined> {
  const { source: given, title, context: said } = asJsonObject(block);
  const source = asJsonObject(given);
  const context = typeof said === 'string' && said !== '' ? said : undefined;
  const titled = typeof title === 'string' && title !== '' ? title : undefined;
  if (typeof source.file_id === 'string') {
    const { row, chunks } = await storedFiles.open(tenantId, source.file_id);
    return { name: titled ?? row.filename, mimeType: row.mimeType, sizeBytes: row.sizeBytes, chunks, context };
  }
  if (typeof source.data !== 'string' || typeof source.media_type !== 'string') return undefined;
  const bytes = source.type === 'text' ? Buffer.from(source.data) : Buffer.from(source.data, 'base64');
  const name = titled ?? `${index + 1}.${extensionOf(source.media_type)}`;
  return { name, mimeType: source.media_type.toLowerCase(), sizeBytes: bytes.length, chunks: once(bytes), context };
}

async function hand(deps: AttachmentsDeps, attachment: Attachment, input: Input): Promise<ContentBlock[]> {
  const { mimeType, sizeBytes, chunks, context } = attachment;
  const { powers, message } = input;
  const before = context === undefined ? [] : [text(context)];
  const uri = `cloister://messages/${message.id}/${encodeURIComponent(attachment.name)}`;
  if (powers.image && IMAGES.includes(mimeType) && sizeBytes <= MAX_IMAGE_BYTES)
    return [...before, { type: 'image', data: (await readAll(chunks, sizeBytes)).toString('base64'), mimeType }];
  if (powers.pdf && mimeType === PDF && sizeBytes <= MAX_PDF_BYTES) {
    const blob = (await readAll(chunks, sizeBytes)).toString('base64');
    return [...before, { type: 'resource', resource: { uri, mimeType, blob } }];
  }
  if (powers.embeddedContext && isText(mimeType) && sizeBytes <= MAX_TEXT_BYTES) {
    const bytes = await readAll(chunks, sizeBytes);
    return [...before, { type: 'resource', resource: { uri, mimeType, text: bytes.toString('utf8') } }];
  }
  return [...before, text(await intoWorkspace(deps, attachment, input))];
}

/** Under a name of its own, so that nothing of the agent's is written over. */
async function intoWorkspace(
  { sessionFiles }: AttachmentsDeps,
  attachment: Attachment,
  { session, message, index }: Input,
): Promise<string> {
  const places = await sessionFiles.ensure(session);
  const name = `${message.id.slice(-8)}-${index + 1}-${fileName(attachment.name)}`;
  const { mimeType, sizeBytes, chunks } = attachment;
  await createSafeTree(treePlaces(places)).write([FOLDER, name], chunks, { maxBytes: Math.min(MAX_BYTES, sizeBytes) });
  return `[Attached file: ${FOLDER}/${name} in your workspace (${mimeType}, ${sizeBytes} bytes)]`;
}

function isText(mimeType: string): boolean {
  return mimeType.startsWith('text/') || ['application/json', 'application/xml', 'application/yaml'].includes(mimeType);
}

function fileName(name: string): string {
  const plain = name
    .normalize('NFC')
    .replaceAll(/[^\p{L}\p{N}._-]+/gu, '_')
    .replace(/^\.+/, '')
    .slice(-80);
  return plain.isWellFormed() && plain !== '' ? plain : 'file';
}

const EXTENSIONS: Readonly<Record<string, string>> = {
  [PDF]: 'pdf',
  'text/plain': 'txt',
  'text/markdown': 'md',
  'text/csv': 'csv',
  'application/json': 'json',
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/gif': 'gif',
  'image/webp': 'webp',
};

function extensionOf(mimeType: string): string {
  return EXTENSIONS[mimeType.toLowerCase()] ?? 'bin';
}

function text(value: string): ContentBlock {
  return { type: 'text', text: value };
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}
