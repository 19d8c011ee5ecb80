import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { PlatformError } from '../base/errors.ts';
import { isCode } from '../workspaces/held-directory.ts';

export interface Written {
  readonly size: number;
  readonly sha256: string;
}

/** Writes a new file, to the disk and not only into memory, and sums it up on the way. Throws `disk_full`. */
export async function writeNew(file: string, source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Written> {
  const hash = createHash('sha256');
  let size = 0;
  try {
    await using handle = await open(file, 'wx', 0o600);
    for await (const chunk of source) {
      hash.update(chunk);
      size += chunk.byteLength;
      await handle.writeFile(chunk);
    }
    await handle.sync();
  } catch (error) {
    throw diskProblem(error);
  }
  return { size, sha256: hash.digest('hex') };
}

/** Size and sum of a file that is there. */
export async function sumUp(file: string): Promise<Written> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { size, sha256: hash.digest('hex') };
}

export function diskProblem(error: unknown): unknown {
  if (isCode(error, 'ENOSPC', 'EDQUOT'))
    return new PlatformError('disk_full', { detail: 'The disk is full; the backup was given up.', cause: error });
  return error;
}

export async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, 'r');
  await handle.sync();
}
