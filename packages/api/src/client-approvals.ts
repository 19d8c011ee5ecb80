import type { Json, PageOf, Query, Request } from './client-calls.ts';
import type { Approval, ApprovalAnswer } from './wire/approvals.ts';
import type { AuditEntry, AuditHead, AuditVerdict } from './wire/audit.ts';

/** Questions to people: what waits for an answer, and the answers. */
export function approvalsOf(json: Json) {
  const one = (id: string) => `/v1/approvals/${encodeURIComponent(id)}`;
  return {
    /** The newest first; with `'states[]': ['pending']` those that wait. */
    list: (query: Query = {}) => json<PageOf<Approval>>('GET', '/v1/approvals', { query }),
    get: (id: string) => json<Approval>('GET', one(id)),
    /** The first answer counts: a later one fails with `approval_answered`. */
    answer: (id: string, body: ApprovalAnswer) => json<Approval>('POST', `${one(id)}/answer`, { body }),
  };
}

/** Who did what, as a chain that shows every change to it. */
export function auditOf(request: Request, json: Json) {
  return {
    list: (query: Query = {}) => json<PageOf<AuditEntry>>('GET', '/v1/audit', { query }),
    head: () => json<AuditHead>('GET', '/v1/audit/head'),
    verify: (query: { readonly head_seq?: number; readonly head_mac?: string } = {}) =>
      json<AuditVerdict>('GET', '/v1/audit/verify', { query }),
    /** All entries as lines of JSON, the oldest first, to be streamed. */
    export: (query: Query = {}, signal?: AbortSignal) => request('GET', '/v1/audit/export', { query, signal }),
  };
}
