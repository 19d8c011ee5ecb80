import type { JsonObject } from '../base/json.ts';
import type { ServiceRow } from '../store/store.ts';

/** What a service's container is made from, as it is kept. */
export interface ServiceDefinition {
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

export const STOP_GRACE_MS = 10_000;
