import { forkedSessionSchema, sessionForkSchema } from '@cloister/api';
import { type RouteTable, route } from '../openapi.ts';

export function forkRoutes(table: RouteTable): void {
  const { fork } = table.deps;
  route(
    table,
    {
      method: 'post',
      path: '/v1/sessions/{id}/fork',
      operationId: 'forkSession',
      summary: 'A new session with the log up to an event and a copy of the workspace',
      tag: 'Sessions',
      body: sessionForkSchema,
      response: forkedSessionSchema,
      problems: [
        'session_not_found',
        'event_not_found',
        'session_busy',
        'archive_too_large',
        'workspace_full',
        'disk_full',
        'capability_unsupported',
      ],
    },
    ({ tenantId, body, param, reservation }) => fork({ tenantId, sessionId: param('id') }, body, reservation.idFor('session')),
  );
}
