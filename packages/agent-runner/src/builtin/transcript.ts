import { closeSync, constants, fsyncSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { ModelMessage } from 'ai';
import { z } from 'zod';

const VERSION = 1;

/**
 * The conversation as a file of JSON lines, of which the first is a header. Lines are only added, each is on
 * disk before the work goes on, and they are written synchronously: the process may end at any moment and
 * what was said up to then must be there. Commands of the agent can write to the file too, so it is input.
 */
export interface Transcript {
  append(messages: readonly ModelMessage[]): void;
  close(): void;
}

const headerSchema = z.object({ type: z.literal('header'), version: z.literal(VERSION), sessionId: z.string(), createdAt: z.string() });

const lineSchema = z.object({
  type: z.literal('message'),
  message: z.discriminatedUnion('role', [
    z.object({ role: z.literal('user'), content: z.array(z.looseObject({ type: z.string() })) }),
    z.object({ role: z.literal('assistant'), content: z.array(z.looseObject({ type: z.string() })) }),
    z.object({ role: z.literal('tool'), content: z.array(z.looseObject({ type: z.string(), toolCallId: z.string() })) }),
  ]),
});

const SESSION_ID = /^[A-Za-z0-9_-]{1,64}$/;

export function createTranscript(directory: string, sessionId: string): Transcript {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const descriptor = openSync(fileOf(directory, sessionId), 'ax', 0o600);
  const header: z.infer<typeof headerSchema> = { type: 'header', version: VERSION, sessionId, createdAt: new Date().toISOString() };
  writeSync(descriptor, `${JSON.stringify(header)}\n`);
  return transcriptOn(descriptor);
}

/** Undefined when there is no such session. A line that was cut off by a crash is removed from the file. */
export function openTranscript(
  directory: string,
  sessionId: string,
): { readonly transcript: Transcript; readonly messages: readonly ModelMessage[] } | undefined {
  if (!SESSION_ID.test(sessionId)) return undefined;
  const descriptor = openIfThere(fileOf(directory, sessionId));
  if (descriptor === undefined) return undefined;
  const bytes = readFileSync(descriptor);
  const end = bytes.lastIndexOf(0x0a) + 1;
  const [header = '', ...lines] = bytes.toString('utf8', 0, end).split('\n');
  if (!headerSchema.safeParse(parseJson(header)).success) {
    closeSync(descriptor);
    console.error(`transcript: ${sessionId} has no readable header`);
    return undefined;
  }
  if (end < bytes.length) ftruncateSync(descriptor, end);
  return { transcript: transcriptOn(descriptor), messages: lines.flatMap(parseLine) };
}

function openIfThere(file: string): number | undefined {
  try {
    return openSync(file, constants.O_RDWR | constants.O_APPEND);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function transcriptOn(descriptor: number): Transcript {
  let isOpen = true;
  return {
    append(messages) {
      if (messages.length === 0) return;
      writeWhole(descriptor, messages.map((message) => `${JSON.stringify({ type: 'message', message })}\n`).join(''));
      fsyncSync(descriptor);
    },
    close() {
      if (isOpen) closeSync(descriptor);
      isOpen = false;
    },
  };
}

function writeWhole(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
}

function parseLine(line: string, index: number): ModelMessage[] {
  if (line === '') return [];
  const parsed = lineSchema.safeParse(parseJson(line));
  // The roles and part types were checked; the parts' own fields are ours, or the provider refuses them by name.
  if (parsed.success) return [parsed.data.message as unknown as ModelMessage];
  console.error(`transcript: line ${index + 2} is not readable and was passed over`);
  return [];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fileOf(directory: string, sessionId: string): string {
  return path.join(directory, `${sessionId}.jsonl`);
}
