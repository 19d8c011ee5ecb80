import { createHash } from 'node:crypto';
import { asJsonObject, type JsonObject } from '../../base/json.ts';
import type { AgentOptions, Harness } from '../../harness/harness.ts';

/** All that decides what a sandbox is like before it has a session. */
export interface WarmTemplate {
  readonly tenantId: string;
  readonly agentId: string;
  /** The definitions as a session would keep them. */
  readonly agent: JsonObject;
  readonly environmentId: string;
  readonly environment: JsonObject;
  readonly harness: Harness;
  readonly options: AgentOptions;
}

/**
 * What two of them have in common that can stand for each other. The ids are in it, not for the tenant's alone: an
 * agent's own folder may be mounted, and the network policy that holds is the environment's and the agent's.
 */
export function poolKey(template: WarmTemplate, image: string): string {
  const { tenantId, agentId, agent, environmentId, environment, harness, options } = template;
  const parts = [tenantId, agentId, agent, environmentId, environment, harness.id, image, { ...options, tools: null }];
  return createHash('sha256').update(canonical(parts)).digest('hex');
}

/** The same text for the same values, in whatever order the fields are. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`)
    .join(',')}}`;
}

/** How many the environment wants to have ready, by its own word. */
export function ruleOf(environment: JsonObject): number {
  const { warm } = asJsonObject(environment.config);
  return typeof warm === 'number' && warm > 0 ? Math.floor(warm) : 0;
}
