import type { Agent } from '@cloister/api';
import type { z } from 'zod';
import { PlatformError } from '../../../base/errors.ts';
import type { HttpDeps } from '../../context.ts';
import { type Route, type RouteInput, type RouteTable, route } from '../../openapi.ts';
import { errorSchema } from './schemas.ts';

export function clawHqRoute<Q extends z.ZodType, B extends z.ZodType>(
  table: RouteTable,
  definition: Omit<Route<Q, B>, 'tag' | 'errorSchema'>,
  handler: (input: RouteInput<Q, B>) => Promise<Response | object>,
): void {
  route(table, { ...definition, tag: 'ClawHQ', errorSchema }, handler);
}

/** One that is archived is deleted to ClawHQ's clients. */
export async function requireClawHqAgent({ agents }: Pick<HttpDeps, 'agents'>, tenantId: string, id: string): Promise<Agent> {
  const agent = await agents.get(tenantId, id);
  if (agent.archived_at !== null) throw new PlatformError('agent_not_found', { detail: `There is no agent "${id.slice(0, 80)}".` });
  return agent;
}
