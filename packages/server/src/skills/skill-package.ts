import { gunzipSync, gzipSync } from 'node:zlib';
import { parse as parseYaml } from 'yaml';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { parsePath } from '../workspaces/paths.ts';
import { BLOCK, formatHeader, paddingOf } from '../workspaces/tar-format.ts';
import { readTar } from '../workspaces/tar-read.ts';
import { readZip } from './zip.ts';

export interface SkillFile {
  /** Below the skill's own folder. */
  readonly path: string;
  readonly bytes: Buffer;
  readonly isExecutable: boolean;
}

/** A skill that was looked at: what its SKILL.md says of it, and its files. */
export interface SkillPackage {
  readonly name: string;
  readonly description: string;
  readonly files: readonly SkillFile[];
}

export const MAX_SKILL_FILES = 1000;
const MAIN = 'SKILL.md';
const NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** Throws `skill_invalid`, `archive_invalid`, `archive_too_large`. */
export function packageOf(files: readonly SkillFile[], maxBytes: number): SkillPackage {
  const size = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (size > maxBytes) throw tooLarge(maxBytes);
  if (files.length > MAX_SKILL_FILES) throw skillInvalid(`has more than ${MAX_SKILL_FILES} files`);
  const rooted = withoutFolder(files.map((file) => ({ ...file, path: checkedPath(file.path) })));
  requireDistinct(rooted.map(({ path }) => path));
  const main = rooted.find(({ path }) => path === MAIN);
  if (main === undefined) throw skillInvalid(`has no ${MAIN} at its root`);
  return { ...frontmatterOf(main.bytes), files: rooted.toSorted((a, b) => (a.path < b.path ? -1 : 1)) };
}

/** The files of a zip, a tar or a tar.gz. */
export async function filesOfArchive(archive: Buffer, maxBytes: number): Promise<readonly SkillFile[]> {
  return archive.subarray(0, 2).toString('latin1') === 'PK'
    ? zipFiles(archive, maxBytes)
    : tarFiles(gunzipped(archive, maxBytes), maxBytes);
}

function zipFiles(archive: Buffer, maxBytes: number): readonly SkillFile[] {
  let left = maxBytes;
  return readZip(archive, 4 * MAX_SKILL_FILES)
    .filter(({ isDirectory }) => !isDirectory)
    .map(({ path, mode, bytes }) => {
      const read = bytes();
      left -= read.length;
      if (left < 0) throw tooLarge(maxBytes);
      return { path, bytes: read, isExecutable: (mode & 0o100) !== 0 };
    });
}

async function tarFiles(archive: Buffer, maxBytes: number): Promise<readonly SkillFile[]> {
  const files: SkillFile[] = [];
  for await (const entry of readTar(oneChunk(archive))) {
    const path = entry.path.toString('utf8').replace(/^(\.\/+)+/, '');
    if (entry.kind === 'directory') continue;
    if (entry.kind === 'link') throw skillInvalid(`has the link ${JSON.stringify(path.slice(0, 80))}; only files are taken`);
    if (!Buffer.from(path).equals(entry.path) && entry.path[0] !== 0x2e) throw skillInvalid('has a name that is not UTF-8');
    if (files.length >= MAX_SKILL_FILES || entry.size > maxBytes) throw tooLarge(maxBytes);
    const chunks: Buffer[] = [];
    for await (const chunk of entry.body) chunks.push(Buffer.from(chunk));
    files.push({ path, bytes: Buffer.concat(chunks), isExecutable: (entry.mode & 0o100) !== 0 });
  }
  return files;
}

async function* oneChunk(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** What a tar adds to its files is little. */
const TAR_OVERHEAD = 4 * MAX_SKILL_FILES * BLOCK;

function gunzipped(archive: Buffer, maxBytes: number): Buffer {
  if (archive[0] !== 0x1f || archive[1] !== 0x8b) return archive;
  try {
    return gunzipSync(archive, { maxOutputLength: maxBytes + TAR_OVERHEAD });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
    throw new PlatformError('archive_invalid', { detail: 'The archive is damaged: it cannot be decompressed.', cause: error });
  }
}

/** A tar.gz of the skill in one form, whatever it came as. */
export function packSkill({ files }: SkillPackage): Buffer {
  const parts = files.flatMap(({ path, bytes, isExecutable }) => [
    formatHeader({
      path: Buffer.from(path),
      kind: 'file',
      size: bytes.length,
      mode: isExecutable ? 0o755 : 0o644,
      modifiedAt: 0,
      target: Buffer.alloc(0),
    }),
    bytes,
    Buffer.alloc(paddingOf(bytes.length)),
  ]);
  return gzipSync(Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]));
}

function checkedPath(path: string): string {
  try {
    const names = parsePath(path);
    if (names.length > 0) return names.join('/');
  } catch (error) {
    if (!isPlatformError(error, 'path_invalid')) throw error;
    throw skillInvalid(`has the path ${JSON.stringify(path.slice(0, 80).toWellFormed())}: ${error.detail}`.replace(/\.$/, ''));
  }
  throw skillInvalid('has a file without a name');
}

/** What is sent as a folder has that folder's name before each path. */
function withoutFolder(files: readonly SkillFile[]): readonly SkillFile[] {
  if (files.some(({ path }) => path === MAIN)) return files;
  const [folder] = files[0]?.path.split('/') ?? [];
  if (folder === undefined || !files.every(({ path }) => path.startsWith(`${folder}/`))) return files;
  return files.map((file) => ({ ...file, path: file.path.slice(folder.length + 1) }));
}

function requireDistinct(paths: readonly string[]): void {
  const seen = new Set(paths);
  if (seen.size !== paths.length) throw skillInvalid('has a file twice');
  for (const path of paths) {
    const parts = path.split('/');
    for (let length = 1; length < parts.length; length++)
      if (seen.has(parts.slice(0, length).join('/'))) throw skillInvalid('has a file that is a directory too');
  }
}

function frontmatterOf(main: Buffer): { readonly name: string; readonly description: string } {
  const text = main.toString('utf8').replace(/^\uFEFF/, '');
  const match = /^---\r?\n([\s\S]{0,20000}?)\r?\n---\r?(\n|$)/.exec(text);
  if (match?.[1] === undefined) throw skillInvalid(`has a ${MAIN} without frontmatter between lines of ---`);
  const fields = readYaml(match[1]);
  const [name, description] = [fields.name, fields.description];
  if (typeof name !== 'string' || name.length > 64 || !NAME.test(name))
    throw skillInvalid('has no `name` of up to 64 lower-case letters, digits and single hyphens in its frontmatter');
  if (typeof description !== 'string' || description.trim() === '' || description.length > 1024)
    throw skillInvalid('has no `description` of 1 to 1024 characters in its frontmatter');
  return { name, description: description.trim() };
}

function readYaml(text: string): { readonly name?: unknown; readonly description?: unknown } {
  try {
    const value: unknown = parseYaml(text, { maxAliasCount: 0, prettyErrors: false, logLevel: 'silent' });
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    // The parser's words would quote the file.
    throw skillInvalid('has frontmatter that is no YAML');
  }
}

export function skillInvalid(why: string): PlatformError {
  return new PlatformError('skill_invalid', { detail: `The skill ${why}.` });
}

function tooLarge(maxBytes: number): PlatformError {
  return new PlatformError('archive_too_large', { detail: `The skill has more than ${maxBytes} bytes or ${MAX_SKILL_FILES} files.` });
}
