import type { Migration } from '../migrate.ts';

/** For listing the turns of a session, and for counting the dead letters of a day. */
export const retention: Migration = {
  version: 5,
  name: 'retention',
  sql: `
CREATE INDEX turns_by_session_creation ON turns (tenant_id, session_id, created_at, id, state);
CREATE INDEX turns_failed ON turns (ended_at) WHERE state = 'failed';
`,
};
