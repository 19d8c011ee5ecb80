import type { Clock } from '../../base/clock.ts';
import { PlatformError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Engine } from '../sql/engine.ts';
import { noticesOf } from '../sql/notices.ts';
import type { CommitListener, CommitNotice } from '../store.ts';
import { createAttempts } from './attempts.ts';
import type { PeerLink } from './peers.ts';
import type { ConnectionPool } from './pool.ts';
import type { Scopes } from './row-security.ts';
import { keepStatistics } from './statistics.ts';

export interface EngineDeps {
  readonly pool: ConnectionPool;
  readonly scopes: Scopes;
  readonly peers: PeerLink;
  readonly clock: Clock;
  readonly log: Logger;
}

export function createPostgresEngine(deps: EngineDeps): Engine {
  const { pool, peers } = deps;
  const attempts = createAttempts(deps);
  const listeners = new Set<CommitListener>();
  const open = new Set<Promise<unknown>>();
  const tell = (notices: readonly CommitNotice[]): void => tellAll(listeners, notices);
  const stopPeers = peers.onNotices(tell);
  const stopStatistics = keepStatistics(deps);
  let closing: Promise<void> | undefined;

  /** Lets `close` wait for what was begun. */
  async function begin<T>(work: () => Promise<T>): Promise<T> {
    if (closing !== undefined) throw new PlatformError('store_unavailable', { detail: 'The database was closed.' });
    const running = work();
    open.add(running);
    try {
      return await running;
    } finally {
      open.delete(running);
    }
  }

  async function closeAll(): Promise<void> {
    await Promise.allSettled(open);
    stopPeers();
    await stopStatistics();
    await peers.close();
    await pool.close();
  }

  return {
    read: (query) => begin(() => attempts.read(query)),
    write: (operation) =>
      begin(async () => {
        const { value, events } = await attempts.write(operation);
        if (events.length === 0) return value;
        const notices = noticesOf(events);
        tell(notices);
        peers.announce(notices);
        return value;
      }),
    onCommit(listener) {
      // A wrapper of its own per call, so that one function can listen twice.
      const own: CommitListener = (notices) => listener(notices);
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    peers,
    close() {
      closing ??= closeAll();
      return closing;
    },
  };
}

function tellAll(listeners: ReadonlySet<CommitListener>, notices: readonly CommitNotice[]): void {
  for (const listener of listeners) {
    try {
      listener(notices);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
