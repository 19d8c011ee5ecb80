import type { Store } from '../store/store.ts';
import type { Dispatcher } from '../turns/dispatcher.ts';

const ANSWERS: ReadonlySet<string> = new Set(['user.tool_confirmation', 'approval.answered', 'approval.expired']);
/** After these a turn may be ready, or there is room for one. */
const WAKING: ReadonlySet<string> = new Set([
  'user.tool_confirmation',
  'approval.answered',
  'approval.expired',
  'user.interrupt',
  'turn.ended',
  'session.status_rescheduled',
]);

/**
 * Tells whoever runs turns here of what other servers have accepted, as that server tells its own. What gets
 * lost on the way is found by the dispatcher's sweep and by the heartbeats of the runs.
 */
export function relayRemoteCommits(
  store: Store,
  signal: Pick<Dispatcher, 'wake' | 'messagedElsewhere' | 'interrupted' | 'confirmed'>,
): () => void {
  return store.events.onCommit((notices) => {
    for (const { isRemote, sessionId, types } of notices) {
      if (!isRemote) continue;
      if (types.includes('user.interrupt')) signal.interrupted(sessionId);
      if (types.some((type) => ANSWERS.has(type))) signal.confirmed(sessionId);
      if (types.includes('user.message')) signal.messagedElsewhere(sessionId);
      if (types.some((type) => WAKING.has(type))) signal.wake();
    }
  });
}
