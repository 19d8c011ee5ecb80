import { type Clock, delay } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import type { NodeStore, SessionKey } from '../store/store.ts';

export interface TakeOverDeps {
  readonly nodes: Pick<NodeStore, 'takeOver' | 'hasLeft' | 'release'>;
  readonly clock: Clock;
  readonly nodeId: string;
  readonly volumeId: string;
  /** Nobody else has sandboxes. */
  readonly isSoleNode: boolean;
  /** How long another server may take to let go. */
  readonly waitMs: number;
  /** Whether the session has a sandbox here. */
  readonly isLive: (sessionId: string) => boolean;
}

/**
 * Makes this server the one that has the session, so that no other has a sandbox with its files. Resolves with what
 * ends that. Throws `session_busy` while something is under way in it, and `session_elsewhere` when its files are on
 * another volume or the other server does not let go in time.
 */
export type TakeOver = (session: SessionKey) => Promise<() => Promise<void>>;

const POLL_MS = 200;

export function createTakeOver({ nodes, clock, nodeId, volumeId, isSoleNode, waitMs, isLive }: TakeOverDeps): TakeOver {
  async function giveBack(session: SessionKey): Promise<void> {
    if (!isLive(session.sessionId)) await nodes.release({ id: nodeId, ...session });
  }

  return async (session) => {
    if (isSoleNode) return async () => undefined;
    const taken = await nodes.takeOver({ id: nodeId, volumeId, ...session });
    if (taken === 'busy') throw new PlatformError('session_busy');
    if (taken === 'elsewhere')
      throw new PlatformError('session_elsewhere', { detail: 'The files of the session are on a volume that this server does not have.' });
    const until = clock.monotonic() + waitMs;
    while (taken === 'leaving' && !(await nodes.hasLeft(session))) {
      if (clock.monotonic() >= until) {
        await giveBack(session);
        throw new PlatformError('session_elsewhere', {
          detail: `The server that has the session's sandbox did not let go of it within ${Math.round(waitMs / 1000)} s.`,
          retryAfterMs: waitMs,
        });
      }
      await delay(clock, POLL_MS);
    }
    return () => giveBack(session);
  };
}
