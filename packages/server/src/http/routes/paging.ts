import type { CreatedRange, Page } from '../../store/store.ts';

interface RangeQuery {
  readonly 'created_at[gt]'?: string | undefined;
  readonly 'created_at[gte]'?: string | undefined;
  readonly 'created_at[lt]'?: string | undefined;
  readonly 'created_at[lte]'?: string | undefined;
}

export function createdRange(query: RangeQuery): CreatedRange {
  return {
    createdGt: toTime(query['created_at[gt]']),
    createdGte: toTime(query['created_at[gte]']),
    createdLt: toTime(query['created_at[lt]']),
    createdLte: toTime(query['created_at[lte]']),
  };
}

function toTime(timestamp: string | undefined): number | undefined {
  return timestamp === undefined ? undefined : Date.parse(timestamp);
}

export function toPage<T>(page: Page<T>): { data: readonly T[]; next_page: string | null } {
  return { data: page.data, next_page: page.next };
}

export function toBidirectionalPage<T>(page: Page<T>): { data: readonly T[]; next_page: string | null; prev_page: string | null } {
  return { data: page.data, next_page: page.next, prev_page: page.prev };
}
