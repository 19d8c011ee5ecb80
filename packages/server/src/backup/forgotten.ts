import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { ID_PREFIXES } from '../base/ids.ts';
import { removeIn, sessionsFolder } from '../sandboxes/directories.ts';
import type { SessionStore } from '../store/store.ts';
import { isCode } from '../workspaces/held-directory.ts';

export interface ForgottenDirectory {
  readonly folder: string;
  readonly name: string;
}

/** A session's row comes before its files; this is for one that is being made. */
const GRACE_MS = 10 * 60_000;
const BATCH = 200;

/** Files of sessions that the database does not know. None, when the files belong to another installation. */
export async function forgottenDirectories(
  store: Pick<SessionStore, 'existing'>,
  { dataDir, installation, now }: { readonly dataDir: string; readonly installation: string; readonly now: number },
): Promise<readonly ForgottenDirectory[]> {
  const own = sessionsFolder(dataDir);
  const owner = await readFile(path.join(own, '.installation'), 'utf8').catch((error: unknown) => {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (owner?.trim() !== installation) return [];
  const found: ForgottenDirectory[] = [];
  for (const folder of [own, path.join(own, '.snapshots')]) {
    const names = (await namesIn(folder)).filter((name) => name.startsWith(`${ID_PREFIXES.session}_`));
    for (let at = 0; at < names.length; at += BATCH) {
      const some = names.slice(at, at + BATCH);
      const known = await store.existing({ ids: some });
      for (const name of some) if (!known.has(name) && (await isOld(path.join(folder, name), now))) found.push({ folder, name });
    }
  }
  return found;
}

export function removeForgotten({ folder, name }: ForgottenDirectory): Promise<void> {
  return removeIn(folder, name);
}

async function isOld(place: string, now: number): Promise<boolean> {
  return now - (await stat(place)).mtimeMs > GRACE_MS;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}
