import type { JsonObject } from '../../base/json.ts';
import type { CreatedRange, Page, PageInput } from './common.ts';

export interface AgentRow {
  readonly id: string;
  readonly tenantId: string;
  readonly version: number;
  /** Everything a version fixes: name, model, system, tools, harness, metadata … as in the wire schema. */
  readonly definition: JsonObject;
  readonly createdAt: number;
  /** When this version was made. */
  readonly updatedAt: number;
  readonly archivedAt: number | null;
}

/** What has come of an agent in all its sessions that are kept. */
export interface AgentActivity {
  readonly messages: number;
  readonly tokens: number;
  readonly lastActiveAt: number;
}

export interface AgentStore {
  /** One that has the id already is returned as it is, if it is the tenant's. */
  create(input: { id: string; tenantId: string; definition: JsonObject; now: number }): Promise<AgentRow>;
  /** The newest version, or the named one; undefined when there is none. */
  find(input: { tenantId: string; id: string; version?: number | undefined }): Promise<AgentRow | undefined>;
  /** Newest versions, by time of creation. */
  list(input: { tenantId: string; includeArchived: boolean } & PageInput & CreatedRange): Promise<Page<AgentRow>>;
  listVersions(input: { tenantId: string; id: string } & PageInput): Promise<Page<AgentRow>>;
  /**
   * Adds a version. Throws `agent_not_found`, `agent_archived`, or `agent_version_conflict` when
   * `expectedVersion` is given and is not the newest.
   */
  addVersion(input: {
    tenantId: string;
    id: string;
    definition: JsonObject;
    expectedVersion?: number | undefined;
    now: number;
  }): Promise<AgentRow>;
  /** Of `ids`, those of agents of any tenant that are not archived or still have sessions. */
  inUse(input: { ids: readonly string[] }): Promise<ReadonlySet<string>>;
  /** Of `ids`, those that have had a session. */
  activity(input: { tenantId: string; ids: readonly string[] }): Promise<ReadonlyMap<string, AgentActivity>>;
  /** Archiving the archived changes nothing. Throws `agent_not_found`. */
  archive(input: { tenantId: string; id: string; now: number }): Promise<AgentRow>;
}
