import {
  auditEntrySchema,
  auditExportQuerySchema,
  auditHeadSchema,
  auditListQuerySchema,
  auditVerdictSchema,
  auditVerifyQuerySchema,
  pageOf,
} from '@cloister/api';
import { actingNow } from '../../audit/acting.ts';
import { PlatformError } from '../../base/errors.ts';
import { type RouteTable, route } from '../openapi.ts';
import { createdRange, toBidirectionalPage } from './paging.ts';

const tag = 'Audit';

export function auditRoutes(table: RouteTable): void {
  listRoutes(table);
  proofRoutes(table);
}

interface Filters {
  readonly actor?: string | undefined;
  readonly subject?: string | undefined;
  readonly actions?: readonly string[] | undefined;
  readonly 'actions[]'?: readonly string[] | undefined;
  readonly 'created_at[gt]'?: string | undefined;
  readonly 'created_at[gte]'?: string | undefined;
  readonly 'created_at[lt]'?: string | undefined;
  readonly 'created_at[lte]'?: string | undefined;
}

function filterOf(query: Filters) {
  const { actor, subject } = query;
  return { actor, subject, actions: query['actions[]'] ?? query.actions, ...createdRange(query) };
}

function listRoutes(table: RouteTable): void {
  const { auditLog, audit } = table.deps;
  route(
    table,
    {
      method: 'get',
      path: '/v1/audit',
      operationId: 'listAudit',
      summary: 'List who did what, the newest first',
      tag,
      query: auditListQuerySchema,
      response: pageOf(auditEntrySchema),
      problems: ['cursor_invalid'],
    },
    async ({ tenantId, query }) => {
      const { limit, page, order } = query;
      return toBidirectionalPage(await auditLog.list(tenantId, { limit, page, order, ...filterOf(query) }));
    },
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/audit/export',
      operationId: 'exportAudit',
      summary: 'All entries as lines of JSON, the oldest first',
      tag,
      query: auditExportQuerySchema,
      response: { mediaType: 'application/jsonl', description: 'One entry on each line' },
    },
    async ({ tenantId, query }) => {
      const filter = filterOf(query);
      const { actor = null, subject = null } = filter;
      await audit.record({ tenantId, actor: actingNow(), action: 'audit.exported', subject: 'audit', detail: { actor, subject } });
      const lines = auditLog.lines(tenantId, filter);
      const encoder = new TextEncoder();
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { value, done } = await lines.next();
          if (done) controller.close();
          else controller.enqueue(encoder.encode(value));
        },
        cancel: async () => {
          await lines.return(undefined);
        },
      });
      return new Response(body, { headers: { 'content-type': 'application/jsonl; charset=utf-8' } });
    },
  );
}

function proofRoutes(table: RouteTable): void {
  const { auditLog } = table.deps;
  route(
    table,
    {
      method: 'get',
      path: '/v1/audit/head',
      operationId: 'getAuditHead',
      summary: 'Where the chain ends; kept elsewhere, it shows later that nothing was cut off',
      tag,
      response: auditHeadSchema,
    },
    ({ tenantId }) => auditLog.head(tenantId),
  );
  route(
    table,
    {
      method: 'get',
      path: '/v1/audit/verify',
      operationId: 'verifyAudit',
      summary: 'Prove the chain: each edit, deletion, reorder or truncation is named',
      tag,
      query: auditVerifyQuerySchema,
      response: auditVerdictSchema,
    },
    ({ tenantId, query: { head_seq: seq, head_mac: mac } }) => {
      if ((seq === undefined) !== (mac === undefined))
        throw new PlatformError('request_invalid', {
          detail: 'A head is its number and its MAC.',
          fields: [{ pointer: seq === undefined ? '/head_seq' : '/head_mac', message: 'goes with the other' }],
        });
      return auditLog.verify(tenantId, seq === undefined || mac === undefined ? undefined : { seq, mac });
    },
  );
}
