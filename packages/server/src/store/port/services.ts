import type { JsonObject } from '../../base/json.ts';
import type { Page, PageInput } from './common.ts';

export const SERVICE_DESIRED_STATES = ['running', 'stopped', 'deleted'] as const;
export type ServiceDesired = (typeof SERVICE_DESIRED_STATES)[number];

export const SERVICE_STATE_NAMES = ['pending', 'starting', 'running', 'backoff', 'stopping', 'stopped', 'failed', 'deleting'] as const;
export type ServiceState = (typeof SERVICE_STATE_NAMES)[number];

export const SERVICE_HEALTH_NAMES = ['unknown', 'healthy', 'unhealthy'] as const;
export type ServiceHealth = (typeof SERVICE_HEALTH_NAMES)[number];

/** An always-on agent: a container that is to run until somebody says otherwise. */
export interface ServiceRow {
  readonly id: string;
  readonly tenantId: string;
  /** Whose engine has its container, and whose port it has. */
  readonly hostId: string;
  readonly name: string;
  readonly spec: JsonObject;
  readonly metadata: JsonObject;
  readonly desired: ServiceDesired;
  readonly state: ServiceState;
  readonly health: ServiceHealth;
  readonly reason: string | null;
  /** Grows when somebody asks for a new start; a container of an older one is replaced. */
  readonly generation: number;
  readonly startedGeneration: number;
  /** The container that belongs to it; every other one of this service belongs to nobody. */
  readonly incarnation: string | null;
  readonly port: number;
  /** When it was restarted, within the window that is counted. */
  readonly restarts: readonly number[];
  readonly nextStartAt: number | null;
  readonly callbackHash: string | null;
  readonly reported: JsonObject | null;
  readonly startedAt: number | null;
  readonly checkedAt: number | null;
  /** Counts the changes that a server reads before it writes. */
  readonly revision: number;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface ServiceKey {
  readonly tenantId: string;
  readonly id: string;
}

export interface PortPool {
  readonly first: number;
  readonly last: number;
}

/** What the one server that looks after it has seen. */
export interface ServiceChanges {
  readonly state?: ServiceState | undefined;
  readonly health?: ServiceHealth | undefined;
  readonly reason?: string | null | undefined;
  readonly startedGeneration?: number | undefined;
  readonly incarnation?: string | null | undefined;
  readonly restarts?: readonly number[] | undefined;
  readonly nextStartAt?: number | null | undefined;
  readonly callbackHash?: string | null | undefined;
  readonly startedAt?: number | null | undefined;
  readonly checkedAt?: number | null | undefined;
}

export interface ServiceEventInput {
  readonly type: string;
  readonly detail?: string | undefined;
}

export interface ServiceEventRow {
  readonly serviceId: string;
  readonly seq: number;
  readonly type: string;
  readonly detail: string | null;
  readonly createdAt: number;
}

export interface ServiceStore {
  /**
   * Adds it, to be run, with the lowest port of the pool that none on the host has; no two ever have one. One that
   * has the id already is returned as it is. Throws `service_limit_reached` when the tenant has `max` already and
   * `service_ports_exhausted`.
   */
  create(
    input: ServiceKey & {
      hostId: string;
      name: string;
      spec: JsonObject;
      metadata: JsonObject;
      ports: PortPool;
      max: number;
      now: number;
    },
  ): Promise<ServiceRow>;
  find(input: ServiceKey): Promise<ServiceRow | undefined>;
  /** Of any tenant: for a caller that proves itself by the service's own token. */
  findById(input: { id: string }): Promise<ServiceRow | undefined>;
  list(input: { tenantId: string } & PageInput): Promise<Page<ServiceRow>>;
  /** Of all tenants. */
  listOnHost(input: { hostId: string }): Promise<readonly ServiceRow[]>;
  /**
   * Says what is wanted. `isNewStart` also has it started anew: restarts are forgotten and a running container is
   * replaced. Throws `service_not_found`, and `service_deleting` when anything is wanted of one that goes.
   */
  want(input: ServiceKey & { desired: ServiceDesired; isNewStart: boolean; event: ServiceEventInput; now: number }): Promise<ServiceRow>;
  /** Writes what was seen; undefined, and nothing written, when the row has changed since that revision. */
  record(
    input: ServiceKey & { revision: number; changes: ServiceChanges; event?: ServiceEventInput | undefined; now: number },
  ): Promise<ServiceRow | undefined>;
  /** Gives it another port than those; the former one is free again. Throws `service_ports_exhausted`. */
  movePort(input: ServiceKey & { ports: PortPool; avoid: readonly number[]; now: number }): Promise<ServiceRow>;
  /** What its program told. */
  report(input: ServiceKey & { reported: JsonObject; now: number }): Promise<void>;
  /** Removes one whose deletion was asked for, with its events; its port is free again. */
  purge(input: ServiceKey): Promise<void>;
  listEvents(input: ServiceKey & PageInput): Promise<Page<ServiceEventRow>>;
}
