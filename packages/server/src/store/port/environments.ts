import type { JsonObject } from '../../base/json.ts';
import type { Page, PageInput } from './common.ts';

export interface EnvironmentRow {
  readonly id: string;
  readonly tenantId: string;
  /** name, description, config, metadata as in the wire schema. */
  readonly definition: JsonObject;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly archivedAt: number | null;
}

export interface EnvironmentStore {
  /** One that has the id already is returned as it is, if it is the tenant's. */
  create(input: { id: string; tenantId: string; definition: JsonObject; now: number }): Promise<EnvironmentRow>;
  find(input: { tenantId: string; id: string }): Promise<EnvironmentRow | undefined>;
  list(input: { tenantId: string; includeArchived: boolean } & PageInput): Promise<Page<EnvironmentRow>>;
  /** Throws `environment_not_found` or `environment_archived`. */
  update(input: { tenantId: string; id: string; definition: JsonObject; now: number }): Promise<EnvironmentRow>;
  archive(input: { tenantId: string; id: string; now: number }): Promise<EnvironmentRow>;
  /** Returns false when there was none. Sessions keep their own copy of the configuration. */
  remove(input: { tenantId: string; id: string }): Promise<boolean>;
}
