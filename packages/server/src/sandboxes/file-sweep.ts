import { opendir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { ID_PREFIXES } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { SessionStore } from '../store/store.ts';
import { ensureFilesOwner, sessionsFolder } from './directories.ts';
import type { SessionFiles } from './session-files.ts';

export interface FileSweepDeps {
  readonly sessions: Pick<SessionStore, 'existing'>;
  readonly files: Pick<SessionFiles, 'remove'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
  readonly installation: string;
}

const INTERVAL_MS = 10 * 60_000;
const BATCH = 200;
/** Where sessions have files, below their folder: directories, disks, snapshots. */
const PLACES = [
  ['.', ''],
  ['.disks', '.img'],
  ['.snapshots', ''],
] as const;
/** A session's row comes before its files; this is for clocks that differ. */
const GRACE_MS = 60_000;

/**
 * Removes the files of sessions that no longer exist: those that another server has removed, and those whose
 * removal was broken off. Looks at the start, and then every few minutes. Files that belong to another installation,
 * such as those of a database that was used here before, are never touched.
 */
export function createFileSweep({
  sessions,
  files,
  clock,
  log,
  dataDir,
  installation,
}: FileSweepDeps): Service & { sweep(): Promise<void> } {
  const folder = sessionsFolder(dataDir);
  let isStopped = false;
  let cancel: (() => void) | undefined;
  let running: Promise<void> | undefined;

  async function removeMissing(found: ReadonlyMap<string, string>): Promise<void> {
    const known = await sessions.existing({ ids: [...found.keys()] });
    for (const [id, seen] of found) {
      if (known.has(id) || isStopped) continue;
      const { mtimeMs } = await stat(seen);
      if (clock.now() - mtimeMs < GRACE_MS) continue;
      await files.remove(id);
      log.info({ session: id }, 'removed the files of a session that is gone');
    }
  }

  async function look(): Promise<void> {
    if ((await ensureFilesOwner(dataDir, installation)) !== installation) return;
    // A removal that was broken off can have left any of these alone.
    for (const [place, ending] of PLACES) await lookIn(path.join(folder, place), ending);
  }

  async function lookIn(place: string, ending: string): Promise<void> {
    let batch = new Map<string, string>();
    for await (const { name } of await openIfThere(place)) {
      if (isStopped) return;
      if (!name.startsWith(`${ID_PREFIXES.session}_`) || !name.endsWith(ending)) continue;
      batch.set(name.slice(0, name.length - ending.length), path.join(place, name));
      if (batch.size < BATCH) continue;
      await removeMissing(batch);
      batch = new Map();
    }
    if (batch.size > 0) await removeMissing(batch);
  }

  function sweep(): Promise<void> {
    running ??= look()
      .catch((error: unknown) => log.warn({ err: error }, 'files of sessions that are gone could not be looked for'))
      .finally(() => {
        running = undefined;
      });
    return running;
  }

  return {
    name: 'file sweep',
    sweep,
    async start() {
      if (cancel !== undefined) return;
      cancel = clock.every(INTERVAL_MS, () => void sweep());
      // Not waited for: there may be very many.
      void sweep();
    },
    async stop() {
      isStopped = true;
      cancel?.();
      await running;
    },
  };
}

async function openIfThere(place: string): Promise<AsyncIterable<{ readonly name: string }> | readonly { readonly name: string }[]> {
  try {
    return await opendir(place);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
