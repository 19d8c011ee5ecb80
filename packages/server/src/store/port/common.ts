/** A page of a listing. `next` and `prev` are cursors to hand back as `page`, or null at an end. */
export interface Page<T> {
  readonly data: readonly T[];
  readonly next: string | null;
  readonly prev: string | null;
}

export interface PageInput {
  readonly limit: number;
  /** A cursor of an earlier page of the same listing; throws `cursor_invalid` when it is not one. */
  readonly page?: string | undefined;
  readonly order: 'asc' | 'desc';
}

export interface CreatedRange {
  readonly createdGt?: number | undefined;
  readonly createdGte?: number | undefined;
  readonly createdLt?: number | undefined;
  readonly createdLte?: number | undefined;
}

/** A session of a tenant. */
export interface SessionKey {
  readonly tenantId: string;
  readonly sessionId: string;
}
