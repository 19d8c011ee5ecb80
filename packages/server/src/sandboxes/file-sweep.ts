import { opendir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { ID_PREFIXES } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { Service } from '../base/service.ts';
import type { AgentStore, SessionStore } from '../store/store.ts';
import { ensureFilesOwner, memoryFolder, sessionsFolder, uploadsFolder } from './directories.ts';
import { type SessionFiles, sharedFolder } from './session-files.ts';

export interface FileSweepDeps {
  readonly sessions: Pick<SessionStore, 'existing'>;
  readonly agents: Pick<AgentStore, 'inUse'>;
  readonly files: Pick<SessionFiles, 'remove' | 'removeShared'>;
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
 * removal was broken off; and what sessions of an agent have shared, once it is archived and the last of them is gone. Looks at the start, and then every few minutes. Files that belong to another installation,
 * such as those of a database that was used here before, are never touched.
 */
export function createFileSweep(deps: FileSweepDeps): Service & { sweep(): Promise<void> } {
  const { clock, log, dataDir, installation } = deps;
  const places = placesOf(deps);
  let isStopped = false;
  let cancel: (() => void) | undefined;
  let running: Promise<void> | undefined;

  async function removeMissing({ existing, remove }: Place, found: ReadonlyMap<string, string>): Promise<void> {
    const known = await existing([...found.keys()]);
    for (const [id, seen] of found) {
      if (known.has(id) || isStopped) continue;
      const { mtimeMs } = await stat(seen);
      if (clock.now() - mtimeMs < GRACE_MS) continue;
      await remove(id);
      log.info({ id }, 'removed the files of what is gone');
    }
  }

  async function look(): Promise<void> {
    if ((await ensureFilesOwner(dataDir, installation)) !== installation) return;
    for (const place of places) await lookIn(place);
  }

  async function lookIn(place: Place): Promise<void> {
    const { folder, prefix, ending } = place;
    let batch = new Map<string, string>();
    for await (const { name } of await openIfThere(folder)) {
      if (isStopped) return;
      if (!name.startsWith(`${prefix}_`) || !name.endsWith(ending)) continue;
      batch.set(name.slice(0, name.length - ending.length), path.join(folder, name));
      if (batch.size < BATCH) continue;
      await removeMissing(place, batch);
      batch = new Map();
    }
    if (batch.size > 0) await removeMissing(place, batch);
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

interface Place {
  readonly folder: string;
  readonly prefix: string;
  readonly ending: string;
  existing(ids: readonly string[]): Promise<ReadonlySet<string>>;
  remove(id: string): Promise<void>;
}

/** Directories, disks, snapshots: a removal that was broken off can have left any of them alone. */
function placesOf({ sessions, agents, files, dataDir }: FileSweepDeps): readonly Place[] {
  const [own, shared] = [sessionsFolder(dataDir), sharedFolder(dataDir)];
  const ofSessions = {
    prefix: ID_PREFIXES.session,
    existing: (ids: readonly string[]) => sessions.existing({ ids }),
    remove: files.remove,
  };
  const ofAgents = { prefix: ID_PREFIXES.agent, existing: (ids: readonly string[]) => agents.inUse({ ids }), remove: files.removeShared };
  return [
    { ...ofSessions, folder: own, ending: '' },
    { ...ofSessions, folder: path.join(own, '.disks'), ending: '.img' },
    { ...ofSessions, folder: path.join(own, '.snapshots'), ending: '' },
    { ...ofSessions, folder: memoryFolder(dataDir), ending: '' },
    { ...ofSessions, folder: uploadsFolder(dataDir), ending: '' },
    { ...ofAgents, folder: shared, ending: '' },
    { ...ofAgents, folder: path.join(shared, '.disks'), ending: '.img' },
  ];
}
