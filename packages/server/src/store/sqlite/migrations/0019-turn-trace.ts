import type { Migration } from '../migrate.ts';

/** To which trace each turn belongs, if somebody traces it; and what a scrape of the metrics counts. */
export const turnTrace: Migration = {
  version: 19,
  name: 'turn-trace',
  sql: `
ALTER TABLE turns ADD COLUMN traceparent TEXT;
CREATE INDEX turns_queued_by_time ON turns (created_at) WHERE state = 'queued';
CREATE INDEX approvals_pending ON approvals (state) WHERE state = 'pending';
`,
};
