import type { QuotaMode, SessionFiles } from '../sandboxes/session-files.ts';
import { requireSession } from '../sessions/sessions.ts';
import type { SessionKey, Store } from '../store/store.ts';
import { rootsOf, usageOfDisk } from './quota.ts';
import { measure } from './usage.ts';

export interface WorkspaceInfo {
  readonly isShared: boolean;
  readonly quota: QuotaMode;
  /** Why the quota is only watched. */
  readonly reason: string | null;
  readonly maxBytes: number | null;
  readonly usedBytes: number;
  readonly usedEntries: number;
  /** False when there is more than was counted. */
  readonly isWhole: boolean;
}

/** More than this is not counted while somebody waits for the answer. */
const MAX_COUNTED = 500_000;

/** What the files of a session take, and what holds them to it. */
export function createWorkspaceInfo(deps: {
  readonly store: Pick<Store, 'sessions'>;
  readonly sessionFiles: Pick<SessionFiles, 'ensure' | 'enforcement'>;
}): (session: SessionKey) => Promise<WorkspaceInfo> {
  const { store, sessionFiles } = deps;
  return async ({ tenantId, sessionId }) => {
    const places = await sessionFiles.ensure(await requireSession(store, tenantId, sessionId));
    const { mode, bytes } = places.quota;
    const isDisk = mode === 'enforced';
    const used = isDisk
      ? { ...(await usageOfDisk(places.workspace)), stopped: undefined }
      : await measure(rootsOf(places), { bytes: Infinity, entries: MAX_COUNTED });
    const reason = mode === 'watched' ? ((await sessionFiles.enforcement()).reason ?? 'it has files from before it had a quota') : null;
    return {
      isShared: places.isShared,
      quota: mode,
      reason,
      maxBytes: bytes ?? null,
      usedBytes: used.bytes,
      usedEntries: used.entries,
      isWhole: used.stopped === undefined,
    };
  };
}
