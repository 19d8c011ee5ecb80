import { z } from 'zod';
import { type RouteTable, route } from '../openapi.ts';

const describedSchema = z.object({ protocol: z.literal('acp'), transport: z.literal('websocket') });

/** What a request for a WebSocket is looked at by; asked for without one, it says so. */
export function acpRoutes(table: RouteTable): void {
  if (!table.deps.adapters.acpHttp) return;
  route(
    table,
    {
      method: 'get',
      path: '/acp',
      operationId: 'openAcp',
      summary: 'ACP over a WebSocket: ask for an upgrade here. Draft; with ACP_HTTP',
      tag: 'ACP',
      response: describedSchema,
    },
    async () => ({ protocol: 'acp' as const, transport: 'websocket' as const }),
  );
}
