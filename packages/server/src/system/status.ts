import type { SessionSandbox, Status } from '@cloister/api';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { RuntimeDriver } from '../runtime/driver.ts';
import type { ReconcilerReport } from '../runtime/upkeep.ts';
import { offeredClasses } from '../sandboxes/extras.ts';
import type { LiveSandboxes, LiveSandboxInfo } from '../sandboxes/live-sandboxes.ts';
import type { WarmEnvironment } from '../sandboxes/pool/report.ts';
import type { Store } from '../store/store.ts';
import type { StageSummary } from './stage-summary.ts';

export interface StatusDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly driver: Pick<RuntimeDriver, 'capabilities' | 'runtimeClasses' | 'sleep' | 'services'>;
  readonly health: () => Status['health'];
  readonly summary: () => StageSummary;
  readonly reconciler: () => ReconcilerReport;
  /** What the operator allows to be asked for; empty is all that isolate. */
  readonly runtimeClasses: readonly string[];
  /** What would hold a workspace to a size here; left out, nothing. */
  readonly workspaceQuota?: (() => Promise<Status['capabilities']['workspace_quota']>) | undefined;
  /** What of the warm pool is a tenant's, and why there is none. */
  readonly warmPool: {
    readonly max: number;
    readonly reason: string | null;
    readonly report: (tenantId: string) => readonly WarmEnvironment[];
  };
  readonly about: {
    readonly version: string;
    readonly runtime: string;
    readonly runtimeReason: string;
    readonly harness: string;
    readonly model: string;
    readonly isDemo: boolean;
  };
}

const DAY_MS = 24 * 3600 * 1000;
/** Runtimes come and go with a restart of the engine: it is not asked at every look at the status. */
const CLASSES_MS = 60_000;

/** What this server runs on and how it does, to a tenant: nothing better than it is. */
export function createStatus(deps: StatusDeps): (tenantId: string) => Promise<Status> {
  const { store, clock, driver, about } = deps;
  const classes = createClasses(deps);
  return async (tenantId) => {
    const { queued, running, waitingApproval } = await store.turns.counts();
    const failed = await store.turns.failedSince({ since: clock.now() - DAY_MS });
    const { isolationClass, isIsolated, supportsLimits } = driver.capabilities;
    return {
      health: deps.health(),
      version: about.version,
      runtime: about.runtime,
      isolation: isolationClass,
      runtime_reason: about.runtimeReason,
      capabilities: {
        runtime_classes: [...(await classes())],
        default_runtime_class: deps.runtimeClasses[0] ?? null,
        limits: supportsLimits,
        egress: isIsolated ? 'gateway' : 'open',
        workspace_quota: (await deps.workspaceQuota?.()) ?? 'none',
        sleep: driver.sleep !== undefined,
        services: driver.services !== undefined,
        warm_pool: deps.warmPool.reason === null,
      },
      stages: deps.summary(),
      harness: about.harness,
      model: about.model,
      is_demo: about.isDemo,
      turns: { queued, running, waiting_approval: waitingApproval, failed_24h: failed },
      warm_pool: describePool(deps.warmPool, tenantId),
      reconciler: describeReconciler(deps.reconciler()),
    };
  };
}

function describePool({ max, reason, report }: StatusDeps['warmPool'], tenantId: string): Status['warm_pool'] {
  const environments = report(tenantId).map(({ environmentId, agentId, ...counts }) => ({
    environment_id: environmentId,
    agent_id: agentId,
    ...counts,
  }));
  return { max, reason, environments };
}

function describeReconciler({ lastSweepAt, resumed, lost, kinds }: ReconcilerReport): Status['reconciler'] {
  return { last_sweep_at: lastSweepAt === null ? null : toTimestamp(lastSweepAt), resumed, lost, removed: Object.fromEntries(kinds) };
}

/** The status is told also while the engine is away: with what was there before. */
function createClasses({ driver, clock, log, runtimeClasses: allowed }: StatusDeps): () => Promise<readonly string[]> {
  let known: { readonly at: number; readonly classes: readonly string[] } | undefined;
  return async () => {
    if (known !== undefined && clock.monotonic() - known.at < CLASSES_MS) return known.classes;
    try {
      const there = (await driver.runtimeClasses?.()) ?? [];
      known = { at: clock.monotonic(), classes: offeredClasses(there, allowed) };
    } catch (error) {
      if (!isPlatformError(error, 'runtime_unreachable')) throw error;
      log.debug({ err: error }, 'the engine did not tell its runtimes');
    }
    return known?.classes ?? [];
  };
}

/** A live sandbox as the API tells of it. */
export function sandboxDescriber({ capabilities }: Pick<RuntimeDriver, 'capabilities'>): (sandbox: LiveSandboxInfo) => SessionSandbox {
  return ({ sandboxId, state, runtimeClass }) => ({
    id: sandboxId,
    state,
    isolation: capabilities.isolationClass,
    runtime_class: runtimeClass ?? null,
  });
}

export function liveSandboxOf(
  live: Pick<LiveSandboxes, 'list'>,
  describe: (sandbox: LiveSandboxInfo) => SessionSandbox,
): (sessionId: string) => SessionSandbox | null {
  return (sessionId) => {
    const found = live.list().find((one) => one.sessionId === sessionId);
    return found === undefined ? null : describe(found);
  };
}
