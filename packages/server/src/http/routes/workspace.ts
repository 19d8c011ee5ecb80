import { workspaceSchema } from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';

/** The workspace of a session as a whole. */
export function workspaceRoutes(table: RouteTable): void {
  const { workspaceInfo } = table.deps;
  route(
    table,
    {
      method: 'get',
      path: '/v1/sessions/{id}/workspace',
      operationId: 'getWorkspace',
      summary: "What a session's files take, what they may take, and what holds them to it",
      tag: 'Files',
      response: workspaceSchema,
      problems: ['session_not_found', 'workspace_unavailable', 'disk_full', 'capability_unsupported'],
    },
    async ({ tenantId, param }) => {
      const sessionId = param('id');
      const info = await workspaceInfo({ tenantId, sessionId });
      return {
        type: 'workspace' as const,
        session_id: sessionId,
        scope: info.isShared ? ('agent' as const) : ('session' as const),
        quota: info.quota,
        quota_reason: info.reason,
        max_bytes: info.maxBytes,
        used_bytes: info.usedBytes,
        used_entries: info.usedEntries,
        is_whole: info.isWhole,
      };
    },
  );
}
