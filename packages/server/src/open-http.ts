import { type Agents, createAgents } from './agents/agents.ts';
import { findAssets } from './assets.ts';
import { systemClock } from './base/clock.ts';
import type { Refusals } from './base/refusals.ts';
import { VERSION } from './base/version.ts';
import type { Config } from './config.ts';
import { createEnvironments, type Environments } from './environments/environments.ts';
import { type App, createApp } from './http/app.ts';
import { type Engine, runtimeName } from './open-engine.ts';
import type { OutboxWorker } from './outbox/outbox-worker.ts';
import type { Retention } from './retention/retention.ts';
import type { Reconciler } from './runtime/reconciler.ts';
import type { LiveSandboxes } from './sandboxes/live-sandboxes.ts';
import type { ServiceParts } from './services/wiring.ts';
import type { QueueAdmission } from './sessions/queue-admission.ts';
import { createSendEvents } from './sessions/send-events.ts';
import { createSessions, type SessionsDeps } from './sessions/sessions.ts';
import { createTurns } from './sessions/turns.ts';
import type { HealthMonitor } from './system/health.ts';
import { createStageSummary } from './system/stage-summary.ts';
import { createStatus, liveSandboxOf, sandboxDescriber } from './system/status.ts';
import { ensureDefaults } from './tenants/bootstrap.ts';
import { prestartOf, type TurnParts } from './turn-parts.ts';
import { createWebhooks } from './webhooks/webhooks.ts';
import { createTakeOver, type TakeOver } from './workspaces/take-over.ts';
import { createWorkspaces } from './workspaces/workspaces.ts';

export interface HttpParts extends TurnParts {
  readonly health: HealthMonitor;
  readonly outbox: OutboxWorker;
  readonly admission: QueueAdmission;
  readonly refusals: Refusals;
  readonly retention: Retention;
  readonly release: SessionsDeps['release'];
  readonly services: ServiceParts;
  readonly reconciler: Reconciler;
}

function takeOverOf({ leaseMs }: Config, { store, nodeId, volumeId, isSoleNode }: Engine, live: LiveSandboxes): TakeOver {
  const isLive = (id: string) => live.list().some(({ sessionId }) => sessionId === id);
  return createTakeOver({ nodes: store.nodes, clock: systemClock, nodeId, volumeId, isSoleNode, waitMs: leaseMs, isLive });
}

/** What clients make and keep: agents and environments, with the built-in ones of a new installation. */
async function openDefinitions(
  config: Config,
  engine: Engine,
  live: LiveSandboxes,
): Promise<{ agents: Agents; environments: Environments }> {
  const { store, chosen } = engine;
  const clock = systemClock;
  const onChanged = async () => {
    live.pool?.refresh();
    await engine.egress.policies.refresh();
  };
  const { allowUnrestrictedNetwork } = config;
  const agents = createAgents({ store, clock, limits: chosen.limits, onChanged });
  const environments = createEnvironments({
    store,
    clock,
    limits: { allowUnrestrictedNetwork },
    checkExtras: engine.extras.check,
    onChanged,
  });
  const { model, catalog } = chosen;
  await ensureDefaults({ store, clock, nodeId: engine.nodeId, agents, environments, model, harness: catalog.defaultId });
  return { agents, environments };
}

function openStatus(
  config: Config,
  engine: Engine,
  { health, stages, sessionFiles, reconciler }: HttpParts,
): ReturnType<typeof createStatus> {
  const { store, log, driver, chosen } = engine;
  return createStatus({
    store,
    clock: systemClock,
    log,
    driver,
    health: () => health.current().status,
    summary: createStageSummary(stages),
    workspaceQuota: async () => (await sessionFiles.enforcement()).mode,
    runtimeClasses: config.runtimeClasses,
    reconciler: reconciler.report,
    about: {
      version: VERSION,
      runtime: runtimeName(driver),
      runtimeReason: engine.runtimeReason,
      harness: chosen.catalog.defaultId,
      model: chosen.model,
      isDemo: chosen.isDemo,
    },
  });
}

function openSessions(config: Config, engine: Engine, { live, dispatcher, admission, release }: HttpParts) {
  const { store, bus, driver, chosen, volumeId } = engine;
  const clock = systemClock;
  const { maxQueuedPerSession } = config;
  const describeSandbox = sandboxDescriber(driver);
  const sendEvents = createSendEvents({ store, clock, bus, signal: dispatcher, maxQueuedPerSession, admit: admission.admit });
  const sessions = createSessions({
    store,
    clock,
    limits: chosen.limits,
    volumeId,
    send: sendEvents,
    release,
    prepare: prestartOf(config, engine, live),
    sandboxOf: liveSandboxOf(live, describeSandbox),
  });
  return { sessions, sendEvents, describeSandbox };
}

/** The HTTP surface with all it serves. */
export async function openHttp(config: Config, engine: Engine, parts: HttpParts): Promise<App> {
  const { live, stages, sessionFiles, turnSnapshots, health, outbox, refusals, retention, release, services, reconciler } = parts;
  const { log, store, bus, volumeId } = engine;
  const clock = systemClock;
  const { sessions, sendEvents, describeSandbox } = openSessions(config, engine, parts);
  const takeOver = takeOverOf(config, engine, live);
  const { dataDir, files: limits } = config;
  return createApp({
    store,
    clock,
    log,
    bus,
    ...(await openDefinitions(config, engine, live)),
    sessions,
    sendEvents,
    turns: createTurns({ store, send: sendEvents }),
    webhooks: createWebhooks({ store, clock }),
    ...createWorkspaces({ store, clock, dataDir, sessionFiles, limits, release, turnSnapshots, volumeId, takeOver }),
    services: services.services,
    health: () => health.current(),
    status: openStatus(config, engine, parts),
    sandboxes: live.list,
    pool: live.pool,
    describeSandbox,
    stages,
    egress: engine.egress.audit,
    deliveryAttempts: () => outbox.attempts(),
    purged: () => retention.purged(),
    reconciler: reconciler.report,
    version: VERSION,
    maxBodyBytes: config.maxBodyBytes,
    limits: config.http,
    adapters: config.adapters,
    refusals,
    requestLeaseMs: config.leaseMs,
    assets: findAssets(),
  });
}
