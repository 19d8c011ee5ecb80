import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { inodesOf } from '../../sandboxes/quota/loop-disks.ts';
import { createSessionFiles, type SessionFiles } from '../../sandboxes/session-files.ts';
import type { AttackQuota } from './run.ts';

const BYTES = 48 * 1024 ** 2;

export interface AttackQuotaDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
  readonly seesOurMounts: () => Promise<boolean>;
}

/** Directories of a small fixed size, made as those of sessions that have a quota; undefined where nothing enforces one. */
export async function createAttackQuota({ clock, log, dataDir, seesOurMounts }: AttackQuotaDeps): Promise<AttackQuota | undefined> {
  const made = new Map<string, SessionFiles>();
  const filesIn = (place: string): SessionFiles => {
    const files =
      made.get(place) ??
      createSessionFiles({ clock, log, dataDir: place, defaultQuota: BYTES, seesOurMounts, isLive: () => false, isSole: true });
    made.set(place, files);
    return files;
  };
  const trial = await mkdtemp(path.join(dataDir, 'quota-'));
  try {
    const { mode } = await filesIn(trial).enforcement();
    if (mode !== 'enforced') return undefined;
  } finally {
    await rm(trial, { recursive: true, force: true });
  }
  return {
    bytes: BYTES,
    files: inodesOf(BYTES),
    open: (place, session) => filesIn(place).ensure({ id: session, tenantId: 'doctor', agentId: 'doctor', environment: {} }),
    remove: (place, session) => filesIn(place).remove(session),
  };
}
