import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Writable } from 'node:stream';
import { redact } from '../base/redaction/redaction.ts';
import { isCode } from '../workspaces/held-directory.ts';
import { writeNew } from './spool.ts';
import { openTarget } from './targets.ts';

export interface BundleFile {
  readonly name: string;
  /** What fails is told in its place: a bundle is made most of all when something does not work. */
  read(): Promise<object | string>;
}

/** Packs the files, each without what is secret by value or by form. Answers where the bundle is. */
export async function packBundle(
  files: readonly BundleFile[],
  { to, drafts, stdout }: { readonly to: string; readonly drafts: string; readonly stdout: Writable },
): Promise<string> {
  const target = await openTarget({ to, name: 'support-bundle', drafts, stdout });
  try {
    for (const { name, read } of files) {
      await writeNew(await target.draft(name), [Buffer.from(redact(await textOf(read)))]);
      await target.add(name);
    }
    return await target.finish();
  } catch (error) {
    await target.abort();
    throw error;
  }
}

async function textOf(read: BundleFile['read']): Promise<string> {
  try {
    const value = await read();
    return typeof value === 'string' ? value : `${JSON.stringify(value, null, 2)}\n`;
  } catch (error) {
    return `This could not be told: ${error instanceof Error ? error.message : String(error)}\n`;
  }
}

const TAIL_BYTES = 4 * 1024 * 1024;

/** The last lines of a log file. */
export async function lastLines(file: string, count: number): Promise<string> {
  try {
    const { size } = await stat(file);
    await using handle = await open(file, 'r');
    const length = Math.min(size, TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
    const lines = buffer.subarray(0, bytesRead).toString('utf8').split('\n');
    // Of a line that begins before the tail, secrets could not be recognised.
    return lines
      .slice(length < size ? 1 : 0)
      .slice(-count - 1)
      .join('\n');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return `There is no ${path.basename(file)} yet.\n`;
    throw error;
  }
}
