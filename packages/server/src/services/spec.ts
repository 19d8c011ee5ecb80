import type { JsonObject } from '../base/json.ts';
import { parseSealed, type Sealer } from '../core/sealing.ts';
import type { ServiceRow } from '../store/store.ts';
import { variableAad } from '../vaults/upgrade.ts';

/** What a service's container is made from, as it is kept. */
export interface ServiceDefinition extends ServiceAgent {
  readonly image: string;
  readonly argv: readonly string[] | null;
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  readonly health: { readonly type: 'http' | 'process'; readonly path: string | null };
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly pids: number;
  readonly uid: number;
  readonly networking: 'none' | 'limited' | 'unrestricted';
  /** Of a limited one. */
  readonly allowedHosts?: readonly string[] | undefined;
}

/** What a service has that is deployed for an agent. */
export interface ServiceAgent {
  /** Whose model calls its program makes, by the gateway and with the keys that are there; without it there are none. */
  readonly agentId?: string | undefined;
  /** Labels by which another system's operator knows the container. */
  readonly aliases?: Readonly<Record<string, string>> | undefined;
}

export function readDefinition(row: Pick<ServiceRow, 'spec'>): ServiceDefinition {
  // Written by `toStored` and by nobody else.
  return row.spec as unknown as ServiceDefinition;
}

export function toStored(definition: ServiceDefinition): JsonObject {
  return JSON.parse(JSON.stringify(definition)) as JsonObject; // what JSON can hold, by its type
}

/** As it is kept: nobody reads the values of variables out of the database. */
export function withSealedEnv(definition: ServiceDefinition, { tenantId, id }: Owner, sealer: Sealer): ServiceDefinition {
  const env = Object.entries(definition.env).map(([name, value]) => [name, sealer.seal(value, variableAad(tenantId, id, name))]);
  return { ...definition, env: Object.fromEntries(env) };
}

/** The variables as the container gets them; those of before there was sealing are as they are. */
export function openEnv(row: Owner & Pick<ServiceRow, 'spec'>, sealer: Sealer): Readonly<Record<string, string>> {
  const open = (name: string, value: string) =>
    parseSealed(value) === undefined ? value : sealer.open(value, variableAad(row.tenantId, row.id, name));
  return Object.fromEntries(Object.entries(readDefinition(row).env).map(([name, value]) => [name, open(name, value)]));
}

type Owner = Pick<ServiceRow, 'tenantId' | 'id'>;

export const STOP_GRACE_MS = 10_000;
