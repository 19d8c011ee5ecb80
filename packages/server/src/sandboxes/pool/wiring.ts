import { parseDefinition } from '../../agents/agents.ts';
import type { Clock } from '../../base/clock.ts';
import { isPlatformError } from '../../base/errors.ts';
import { asJsonObject, type JsonObject, toJsonObject } from '../../base/json.ts';
import type { Logger } from '../../base/log.ts';
import type { Config } from '../../config.ts';
import type { Provider } from '../../core/model.ts';
import type { HarnessCatalog } from '../../harness/catalog.ts';
import { pinSkills } from '../../skills/pin.ts';
import type { Store } from '../../store/store.ts';
import { resolveAgent } from '../../turns/agent-options.ts';
import type { LiveSandboxesDeps } from '../live-sandboxes.ts';
import type { SandboxDeps } from '../open-sandbox.ts';
import { sharesWorkspace } from '../session-files.ts';
import { parseTemplate } from '../template.ts';
import { createWarmFiles } from './files.ts';
import type { WarmTemplate } from './key.ts';
import { createWarmPool, type WarmPoolDeps } from './warm-pool.ts';

export interface WarmPoolParts
  extends Pick<WarmPoolDeps, 'open' | 'policyOf' | 'power' | 'stages'>,
    Pick<SandboxDeps, 'imageFor' | 'clock' | 'log'> {
  readonly config: Pick<Config, 'warmPoolMax' | 'workspaceQuota' | 'dataDir'>;
  readonly store: Store;
  readonly nodeId: string;
  readonly volumeId: string;
  readonly catalog: HarnessCatalog;
  readonly providers: ReadonlySet<Provider>;
  readonly providersOf?: ((tenantId: string) => Promise<ReadonlySet<Provider>>) | undefined;
}

/** Why nothing can stand ready here; null where it can. */
export function noWarmPool({ warmPoolMax, workspaceQuota }: Pick<Config, 'warmPoolMax' | 'workspaceQuota'>): string | null {
  if (warmPoolMax === 0) return 'WARM_POOL_MAX is 0.';
  if (workspaceQuota === undefined) return null;
  return 'WORKSPACE_QUOTA gives each workspace a disk of its own, and what stands ready has none yet.';
}

/** The warm pool as the settings want it; undefined where they want none. */
export function warmPoolOf(parts: WarmPoolParts): LiveSandboxesDeps['createPool'] {
  const { config, store, nodeId, volumeId, clock, log, imageFor, open, policyOf, power, stages } = parts;
  if (config.warmPoolMax === 0) return undefined;
  const deps: WarmPoolDeps = {
    open,
    policyOf,
    power,
    stages,
    clock,
    log,
    nodeId,
    volumeId,
    store: store.warm,
    files: createWarmFiles(config.dataDir, nodeId),
    max: config.warmPoolMax,
    imageFor: ({ harness, environment }) => parseTemplate(environment).image ?? imageFor(harness.imageVariant),
    canPool: (environment) => noWarmPool(config) === null && canPool(environment),
    load: (ids) => loadTemplate(parts, ids),
    async isAlive() {
      const alive = new Set((await store.nodes.list()).map(({ id }) => id));
      return (id) => alive.has(id);
    },
  };
  return (room) => createWarmPool(deps, room);
}

/** A workspace on a disk of its own, or one that others have too, cannot be renamed into its place. */
function canPool(environment: JsonObject): boolean {
  const { disk = null } = asJsonObject(environment.config);
  return disk === null && !sharesWorkspace(environment);
}

interface Loader {
  readonly store: Pick<Store, 'agents' | 'environments' | 'skills'>;
  readonly catalog: HarnessCatalog;
  readonly providers: ReadonlySet<Provider>;
  readonly providersOf?: ((tenantId: string) => Promise<ReadonlySet<Provider>>) | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

async function loadTemplate(
  { store, catalog, providers, providersOf, log }: Loader,
  { tenantId, agentId, environmentId }: Pick<WarmTemplate, 'tenantId' | 'agentId' | 'environmentId'>,
): Promise<WarmTemplate | undefined> {
  const agentRow = await store.agents.find({ tenantId, id: agentId });
  const environmentRow = await store.environments.find({ tenantId, id: environmentId });
  if (agentRow === undefined || agentRow.archivedAt !== null) return undefined;
  if (environmentRow === undefined || environmentRow.archivedAt !== null) return undefined;
  const own = (await providersOf?.(tenantId)) ?? providers;
  try {
    // As a session's copy is made.
    const agent = toJsonObject(await pinSkills(store.skills, tenantId, parseDefinition(agentRow)));
    return { tenantId, agentId, agent, environmentId, environment: environmentRow.definition, ...resolveAgent(agent, catalog, own) };
  } catch (error) {
    if (!isPlatformError(error)) throw error;
    // A session would be told; a pool has nobody to tell.
    log.debug({ err: error, agent: agentId }, 'an agent cannot be run, so nothing is kept ready for it');
    return undefined;
  }
}
