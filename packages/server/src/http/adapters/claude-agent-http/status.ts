import { detailStatus } from '../detail-errors.ts';

/** The status that Claude Agent HTTP has for a code: a session that is busy is as one that is asked too often. */
export function agentHttpStatus(code: string, status: number): number {
  return code === 'session_busy' ? 429 : detailStatus(code, status);
}
