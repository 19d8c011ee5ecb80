import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { isCode } from '../workspaces/held-directory.ts';

/** What the platform itself makes before it changes a schema. */
const BEFORE = /^before-\d+-\d{8}T\d{6}Z\.(db|tar\.gz)$/;
/** What `cloister backup` makes without being told where. */
const OWN = /^cloister-\d{8}T\d{6}Z$/;
/** What a backup that was killed leaves. */
const DRAFT = /^(\.draft-|.*\.(partial|drafts)$)/;
const DRAFT_MS = 24 * 3_600_000;

export interface OldBackup {
  readonly file: string;
  readonly sizeBytes: number;
}

/** Backups in the data directory beyond the newest `kept` of each kind, and drafts that nobody goes on with. */
export async function oldBackups(
  dataDir: string,
  { kept, now }: { readonly kept: number; readonly now: number },
): Promise<readonly OldBackup[]> {
  const directory = path.join(dataDir, 'backups');
  const names = await namesIn(directory);
  const stampOf = (name: string) => /\d{8}T\d{6}Z/.exec(name)?.[0] ?? '';
  const beyond = (kind: RegExp) =>
    names
      .filter((name) => kind.test(name))
      .sort((a, b) => (stampOf(a) < stampOf(b) ? 1 : -1))
      .slice(kept);
  const drafts: string[] = [];
  for (const name of names.filter((one) => DRAFT.test(one)))
    if (now - (await stat(path.join(directory, name))).mtimeMs > DRAFT_MS) drafts.push(name);
  const files = [...beyond(BEFORE), ...beyond(OWN), ...drafts].map((name) => path.join(directory, name));
  return Promise.all(files.map(async (file) => ({ file, sizeBytes: await sizeOf(file) })));
}

export async function removeBackup({ file }: OldBackup): Promise<void> {
  await rm(file, { recursive: true, force: true });
}

async function sizeOf(place: string): Promise<number> {
  const found = await stat(place);
  if (!found.isDirectory()) return found.size;
  const sizes = await Promise.all((await readdir(place)).map((name) => sizeOf(path.join(place, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}
