import { opendir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { ID_PREFIXES } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { SessionStore } from '../store/store.ts';
import { ensureFilesOwner, removeSessionDirectories } from './directories.ts';

export interface FileSweepDeps {
  readonly sessions: Pick<SessionStore, 'existing'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
  readonly installation: string;
}

const INTERVAL_MS = 10 * 60_000;
const BATCH = 200;
/** A session's row comes before its files; this is for clocks that differ. */
const GRACE_MS = 60_000;

/**
 * Removes the files of sessions that no longer exist: those that another server has removed, and those whose
 * removal was broken off. Looks at the start, and then every few minutes. Files that belong to another installation,
 * such as those of a database that was used here before, are never touched.
 */
export function createFileSweep({ sessions, clock, log, dataDir, installation }: FileSweepDeps): Service & { sweep(): Promise<void> } {
  const folder = path.join(dataDir, 'sessions');
  let isStopped = false;
  let cancel: (() => void) | undefined;
  let running: Promise<void> | undefined;

  async function removeMissing(ids: readonly string[]): Promise<void> {
    const known = await sessions.existing({ ids });
    for (const id of ids) {
      if (known.has(id) || isStopped) continue;
      const { mtimeMs } = await stat(path.join(folder, id));
      if (clock.now() - mtimeMs < GRACE_MS) continue;
      await removeSessionDirectories(dataDir, id);
      log.info({ session: id }, 'removed the files of a session that is gone');
    }
  }

  async function look(): Promise<void> {
    if ((await ensureFilesOwner(dataDir, installation)) !== installation) return;
    let batch: string[] = [];
    for await (const entry of await opendir(folder)) {
      if (isStopped) return;
      if (!entry.isDirectory() || !entry.name.startsWith(`${ID_PREFIXES.session}_`)) continue;
      if (batch.push(entry.name) < BATCH) continue;
      await removeMissing(batch);
      batch = [];
    }
    await removeMissing(batch);
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
