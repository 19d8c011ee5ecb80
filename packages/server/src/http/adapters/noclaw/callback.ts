import { toTimestamp } from '../../../base/clock.ts';
import type { CallbackBody } from '../../../callbacks/deliver.ts';
import { NO_TASKS } from './answers.ts';

/** What is posted to a `callback_url`: the same that the request would have answered had it waited. */
export const noclawCallbackBody: CallbackBody = ({ data, sessionId }, turn, answer) => ({
  status: turn.state === 'completed' ? 'success' : 'error',
  response: answer.text,
  metadata: {
    user: data.user ?? null,
    timestamp: toTimestamp(turn.endedAt ?? turn.createdAt),
    scheduled_tasks: NO_TASKS,
    session_id: sessionId,
    turn_id: turn.id,
  },
  ...(turn.error === null ? {} : { error: turn.error }),
});
