import { pageOf, type Snapshot, snapshotDeletedSchema, snapshotSchema } from '@cloister/api';
import { toTimestamp } from '../../base/clock.ts';
import type { SnapshotInfo } from '../../workspaces/snapshots.ts';
import { type RouteTable, route } from '../openapi.ts';

const tag = 'Files';
const ALL = '/v1/sessions/{id}/snapshots';
const ONE = `${ALL}/{snapshot_id}`;

/** Copies of a session's workspace, to go back to. */
export function snapshotRoutes(table: RouteTable): void {
  const { snapshots } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: ALL,
      operationId: 'createSnapshot',
      summary: 'Keep a copy of the workspace as it is now',
      tag,
      response: snapshotSchema,
      problems: ['session_not_found', 'snapshot_limit_reached', 'archive_too_large', 'disk_full', 'capability_unsupported'],
    },
    async ({ tenantId, param, reservation }) => {
      const session = { tenantId, sessionId: param('id') };
      return toSnapshot(session.sessionId, await snapshots.create(session, reservation.idFor('snapshot')));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: ALL,
      operationId: 'listSnapshots',
      summary: 'List the snapshots of a session, the newest first',
      tag,
      response: pageOf(snapshotSchema),
      problems: ['session_not_found'],
    },
    async ({ tenantId, param }) => {
      const sessionId = param('id');
      return { data: (await snapshots.list({ tenantId, sessionId })).map((one) => toSnapshot(sessionId, one)), next_page: null };
    },
  );
  route(
    table,
    {
      method: 'get',
      path: ONE,
      operationId: 'getSnapshot',
      summary: 'Get a snapshot',
      tag,
      response: snapshotSchema,
      problems: ['session_not_found', 'snapshot_not_found'],
    },
    async ({ tenantId, param }) => {
      const sessionId = param('id');
      return toSnapshot(sessionId, await snapshots.get({ tenantId, sessionId }, param('snapshot_id')));
    },
  );
  route(
    table,
    {
      method: 'delete',
      path: ONE,
      operationId: 'deleteSnapshot',
      summary: 'Delete a snapshot',
      tag,
      response: snapshotDeletedSchema,
      problems: ['session_not_found', 'snapshot_not_found'],
    },
    async ({ tenantId, param }) => {
      await snapshots.remove({ tenantId, sessionId: param('id') }, param('snapshot_id'));
      return { id: param('snapshot_id'), type: 'snapshot_deleted' as const };
    },
  );
  route(
    table,
    {
      method: 'post',
      path: `${ONE}/restore`,
      operationId: 'restoreSnapshot',
      summary: 'Make the workspace as it was; only while no turn runs',
      tag,
      response: snapshotSchema,
      problems: [
        'session_not_found',
        'snapshot_not_found',
        'session_busy',
        'session_elsewhere',
        'session_archived',
        'workspace_full',
        'disk_full',
        'capability_unsupported',
      ],
    },
    async ({ tenantId, param }) => {
      const sessionId = param('id');
      return toSnapshot(sessionId, await snapshots.restore({ tenantId, sessionId }, param('snapshot_id')));
    },
  );
}

function toSnapshot(sessionId: string, { id, createdAtMs, size, omitted }: SnapshotInfo): Snapshot {
  return { id, type: 'snapshot', session_id: sessionId, created_at: toTimestamp(createdAtMs), size_bytes: size, omitted };
}
