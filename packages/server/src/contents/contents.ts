import { createHash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Store, WholeBlob } from '../store/store.ts';

/** Bytes in the store, written and read as they come: no more than a piece is held. */
export interface Contents {
  /** What is written is nobody's until something names it. Throws `file_too_large`. */
  write(tenantId: string, source: AsyncIterable<Uint8Array>, limits: { readonly maxBytes: number }): Promise<WholeBlob>;
  read(tenantId: string, blobId: string): AsyncGenerator<Uint8Array>;
  /** Runs what names the blob; when that is refused, nothing of it stays. */
  naming<T>(tenantId: string, blob: WholeBlob, name: () => Promise<T>): Promise<T>;
  /** Removes what was written and then not needed. Harmless for what has been named. */
  discard(tenantId: string, blobId: string): Promise<void>;
}

const PIECE_BYTES = 192 * 1024;
/** What was begun so long ago is not written to any more. */
const ABANDONED_MS = 24 * 3600 * 1000;
const SWEEP_LIMIT = 20;

export function createContents({ store, clock }: { readonly store: Pick<Store, 'blobs'>; readonly clock: Clock }): Contents {
  const { blobs } = store;
  async function append(tenantId: string, id: string, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<WholeBlob> {
    const hash = createHash('sha256');
    let [sizeBytes, number] = [0, 0];
    for await (const piece of pieces(source)) {
      sizeBytes += piece.length;
      if (sizeBytes > maxBytes) throw new PlatformError('file_too_large', { detail: `What was sent is larger than ${maxBytes} bytes.` });
      hash.update(piece);
      await blobs.append({ tenantId, id, number: number++, data: piece.toString('base64') });
    }
    return { blobId: id, sha256: hash.digest('hex'), sizeBytes };
  }
  return {
    async write(tenantId, source, { maxBytes }) {
      const now = clock.now();
      await blobs.sweep({ tenantId, before: now - ABANDONED_MS, limit: SWEEP_LIMIT });
      const id = newId('blob');
      await blobs.begin({ tenantId, id, now });
      try {
        return await append(tenantId, id, source, maxBytes);
      } catch (error) {
        // Where the store is away too, it is swept later; the first reason is what counts.
        await blobs.discard({ tenantId, id }).catch(() => undefined);
        throw error;
      }
    },
    async naming(tenantId, { blobId }, name) {
      try {
        return await name();
      } catch (error) {
        // Where the store is away too, it is swept later; the first reason is what counts.
        await blobs.discard({ tenantId, id: blobId }).catch(() => undefined);
        throw error;
      }
    },
    async *read(tenantId, blobId) {
      for (let number = 0; ; number++) {
        const data = await blobs.chunk({ tenantId, id: blobId, number });
        if (data === undefined) return;
        yield Buffer.from(data, 'base64');
      }
    },
    discard: (tenantId, blobId) => blobs.discard({ tenantId, id: blobId }),
  };
}

/** All of it, for what is small. Throws `file_too_large`. */
export async function readAll(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    size += chunk.byteLength;
    if (size > maxBytes) throw new PlatformError('file_too_large', { detail: `What was sent is larger than ${maxBytes} bytes.` });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function* pieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let held: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    held.push(chunk);
    size += chunk.byteLength;
    if (size < PIECE_BYTES) continue;
    const all = Buffer.concat(held);
    let at = 0;
    for (; all.length - at >= PIECE_BYTES; at += PIECE_BYTES) yield all.subarray(at, at + PIECE_BYTES);
    held = [all.subarray(at)];
    size = all.length - at;
  }
  if (size > 0) yield Buffer.concat(held);
}
