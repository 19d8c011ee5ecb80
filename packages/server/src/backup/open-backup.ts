import { createReadStream } from 'node:fs';
import { mkdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { isCode } from '../workspaces/held-directory.ts';
import { readTar } from '../workspaces/tar-read.ts';
import { CHECKSUMS, invalidBackup, isPartName, MANIFEST, type Manifest, parseManifest } from './manifest.ts';
import { sumUp, writeNew } from './spool.ts';

/** A backup whose every byte was compared with its checksums. */
export interface OpenBackup {
  readonly manifest: Manifest;
  fileOf(part: { readonly name: string }): string;
}

export interface OpenRequest {
  /** A backup's directory, a tar of one, gzipped or not, or `-` for standard input. */
  readonly from: string;
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Where the parts of a tar are put; not there yet. */
  readonly drafts: string;
  readonly onProgress: (what: string) => void;
}

/** Compares everything before anything of it is used. Throws `backup_invalid`. */
export async function openBackup(request: OpenRequest): Promise<OpenBackup> {
  const directory = await directoryOf(request);
  const text = await readFile(path.join(directory, MANIFEST), 'utf8').catch((cause: unknown) => {
    throw invalidBackup('it has no manifest: it is not a backup, or is cut off', cause);
  });
  const manifest = parseManifest(text);
  await requireManifestSum(directory);
  const fileOf = ({ name }: { readonly name: string }) => path.join(directory, name);
  for (const part of manifest.parts) {
    request.onProgress(`comparing ${part.name}`);
    const found = await sumUp(fileOf(part)).catch((error: unknown) => {
      if (isCode(error, 'ENOENT')) throw invalidBackup(`${part.name} is missing`, error);
      throw error;
    });
    if (found.size !== part.size || found.sha256 !== part.sha256) throw invalidBackup(`${part.name} does not match its checksum`);
  }
  return { manifest, fileOf };
}

async function requireManifestSum(directory: string): Promise<void> {
  const sums = await readFile(path.join(directory, CHECKSUMS), 'utf8').catch((cause: unknown) => {
    throw invalidBackup('its list of checksums is missing: it is cut off', cause);
  });
  const { sha256 } = await sumUp(path.join(directory, MANIFEST));
  if (!sums.split('\n').includes(`${sha256}  ${MANIFEST}`)) throw invalidBackup('its manifest does not match its checksum');
}

async function directoryOf({ from, stdin, drafts, onProgress }: OpenRequest): Promise<string> {
  if (from !== '-' && (await isDirectory(from))) return path.resolve(from);
  onProgress('reading');
  await mkdir(drafts, { recursive: true, mode: 0o700 });
  const source = from === '-' ? stdin : (createReadStream(from) as AsyncIterable<Buffer>);
  try {
    for await (const entry of readTar(await plain(source))) {
      const name = entry.path.toString().replace(/^(\.\/)+/, '');
      if (entry.kind === 'directory') continue;
      if (entry.kind !== 'file' || !isPartName(name)) throw invalidBackup('it holds something else than the files of a backup');
      const file = path.join(drafts, name);
      await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
      await writeNew(file, entry.body);
    }
  } catch (error) {
    if (isPlatformError(error, 'archive_invalid') || isCode(error, 'Z_DATA_ERROR', 'Z_BUF_ERROR', 'EEXIST'))
      throw invalidBackup('it is damaged or cut off', error);
    throw error;
  }
  return drafts;
}

async function isDirectory(from: string): Promise<boolean> {
  try {
    return (await stat(from)).isDirectory();
  } catch (error) {
    if (isCode(error, 'ENOENT')) throw new PlatformError('backup_invalid', { detail: `There is nothing at ${from}.`, cause: error });
    throw error;
  }
}

/** Gunzipped where it is gzipped. */
async function plain(source: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = source[Symbol.asyncIterator]();
  const first = await iterator.next();
  const whole = (async function* () {
    if (first.done !== true) yield first.value;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  })();
  const isGzip = first.done !== true && first.value[0] === 0x1f && first.value[1] === 0x8b;
  return isGzip ? gunzip(whole) : whole;
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const gunzipper = createGunzip({ chunkSize: 256 * 1024 });
  const input = Readable.from(source, { objectMode: false });
  input.on('error', (error) => gunzipper.destroy(error));
  for await (const chunk of input.pipe(gunzipper)) yield chunk as Buffer; // a stream without an encoding yields buffers
}
