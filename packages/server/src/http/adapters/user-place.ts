import { createHash } from 'node:crypto';
import type { Agent, AgentCreate, Environment, EnvironmentCreate } from '@cloister/api';
import { isPlatformError } from '../../base/errors.ts';
import { type IdKind, idOf } from '../../base/ids.ts';
import { canonicalJson } from '../../base/json.ts';
import type { AdapterName } from '../../config.ts';
import type { HttpDeps } from '../context.ts';

/** The id that something has by its name, so that it is made once however often it is asked for. */
export function stableId(kind: IdKind, ...name: readonly string[]): string {
  return idOf(kind, createHash('sha256').update(JSON.stringify(name)).digest('hex').slice(0, 32));
}

const ADAPTER = 'cloister.adapter';
/** Of which settings it was made: what its owner has changed since is left alone until those change. */
const SETTINGS = 'cloister.adapter_settings';

function marksOf(adapter: AdapterName, body: object): Record<string, string> {
  return { [ADAPTER]: adapter, [SETTINGS]: createHash('sha256').update(canonicalJson(body)).digest('hex').slice(0, 32) };
}

interface Owner {
  readonly tenantId: string;
  readonly adapter: AdapterName;
}

/** The environment that the adapter's sessions of a tenant work in: an ordinary one, made when it is first needed. */
export async function adapterEnvironment(
  { environments }: Pick<HttpDeps, 'environments'>,
  { tenantId, adapter }: Owner,
  body: EnvironmentCreate,
): Promise<Environment> {
  const id = stableId('environment', tenantId, adapter);
  const marked = { ...body, metadata: marksOf(adapter, body) };
  const found = await environments.get(tenantId, id).catch(unless('environment_not_found'));
  if (found === undefined) return environments.create(tenantId, marked, id);
  if (found.archived_at !== null || found.metadata[SETTINGS] === marked.metadata[SETTINGS]) return found;
  return environments.update(tenantId, id, marked);
}

export interface UserAgent extends Owner {
  readonly userId: string;
  /** What the settings say of it. */
  readonly body: AgentCreate;
  /** What it begins with besides, and the user may change. */
  readonly initial?: Partial<AgentCreate>;
}

/** The agent of one user of an adapter: an ordinary one, made when it is first needed. All of the user's sessions share its files. */
export async function userAgent({ agents }: Pick<HttpDeps, 'agents'>, input: UserAgent): Promise<Agent> {
  const { tenantId, adapter, userId, body, initial = {} } = input;
  const id = stableId('agent', tenantId, adapter, userId);
  const marked = { ...body, metadata: marksOf(adapter, body) };
  const found = await agents.get(tenantId, id).catch(unless('agent_not_found'));
  if (found === undefined) return agents.create(tenantId, { ...initial, ...marked }, id);
  if (found.archived_at !== null || found.metadata[SETTINGS] === marked.metadata[SETTINGS]) return found;
  // Another request makes the same change at this moment.
  return (await agents.update(tenantId, id, marked).catch(unless('agent_version_conflict'))) ?? agents.get(tenantId, id);
}

function unless(code: Parameters<typeof isPlatformError>[1]): (error: unknown) => undefined {
  return (error) => {
    if (isPlatformError(error, code)) return undefined;
    throw error;
  };
}
