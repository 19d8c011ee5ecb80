import type { Migration } from '../migrate.ts';
import { initial } from './0001-initial.ts';
import { queue } from './0002-queue.ts';
import { outbox } from './0003-outbox.ts';
import { requests } from './0004-requests.ts';
import { retention } from './0005-retention.ts';
import { egress } from './0006-egress.ts';
import { services } from './0007-services.ts';
import { turnStages } from './0008-turn-stages.ts';
import { warmPool } from './0009-warm-pool.ts';
import { workspaces } from './0010-workspaces.ts';
import { sessionLinks } from './0011-session-links.ts';
import { auditAndApprovals } from './0012-audit-and-approvals.ts';
import { access } from './0013-access.ts';
import { vaults } from './0014-vaults.ts';
import { contents } from './0015-contents.ts';
import { adapters } from './0016-adapters.ts';
import { usage } from './0017-usage.ts';
import { planCaps } from './0018-plan-caps.ts';
import { turnTrace } from './0019-turn-trace.ts';
import { storageHolds } from './0020-storage-holds.ts';

/** Every migration, oldest first. One that was released is never changed: its checksum is in the databases. */
export const MIGRATIONS: readonly Migration[] = [
  initial,
  queue,
  outbox,
  requests,
  retention,
  egress,
  services,
  turnStages,
  warmPool,
  workspaces,
  sessionLinks,
  auditAndApprovals,
  access,
  vaults,
  contents,
  adapters,
  usage,
  planCaps,
  turnTrace,
  storageHolds,
];
