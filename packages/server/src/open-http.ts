import { type Agents, createAgents } from './agents/agents.ts';
import { findAssets } from './assets.ts';
import { createAuditLog } from './audit/audit-log.ts';
import { auditUseCases } from './audit/audited.ts';
import { systemClock } from './base/clock.ts';
import type { Refusals } from './base/refusals.ts';
import { VERSION } from './base/version.ts';
import { createCallbacks } from './callbacks/callbacks.ts';
import type { Config } from './config.ts';
import { resolveModel } from './core/model.ts';
import { createEnvironments, type Environments } from './environments/environments.ts';
import { type App, createApp } from './http/app.ts';
import type { HttpDeps } from './http/context.ts';
import { type Engine, runtimeName } from './open-engine.ts';
import type { OutboxWorker } from './outbox/outbox-worker.ts';
import type { Retention } from './retention/retention.ts';
import type { Reconciler } from './runtime/reconciler.ts';
import type { LiveSandboxes } from './sandboxes/live-sandboxes.ts';
import { noWarmPool } from './sandboxes/pool/wiring.ts';
import type { ServiceParts } from './services/wiring.ts';
import type { QueueAdmission } from './sessions/queue-admission.ts';
import { createSendEvents } from './sessions/send-events.ts';
import { createSessions, type SessionsDeps } from './sessions/sessions.ts';
import { createTurns } from './sessions/turns.ts';
import type { SessionKey } from './store/store.ts';
import type { HealthMonitor } from './system/health.ts';
import { createStageSummary } from './system/stage-summary.ts';
import { createStatus, liveSandboxOf, sandboxDescriber } from './system/status.ts';
import { DEFAULT_TENANT, ensureDefaults } from './tenants/bootstrap.ts';
import type { AccessParts } from './tenants/wiring.ts';
import { contentPartsOf, prestartOf, type TurnParts } from './turn-parts.ts';
import { createSpending } from './usage/wiring.ts';
import { auditKeys, auditProviders, auditVaults } from './vaults/audited.ts';
import { createKeyTest } from './vaults/key-test.ts';
import { createProviders } from './vaults/providers.ts';
import type { KeyRotation } from './vaults/rotation.ts';
import { createVaults } from './vaults/vaults.ts';
import { createWebhooks } from './webhooks/webhooks.ts';
import { createTakeOver, type TakeOver } from './workspaces/take-over.ts';
import { createWorkspaces } from './workspaces/workspaces.ts';

export interface HttpParts extends TurnParts {
  readonly health: HealthMonitor;
  readonly outbox: OutboxWorker;
  readonly encryptionKeys: KeyRotation;
  readonly admission: QueueAdmission;
  readonly refusals: Refusals;
  readonly retention: Retention;
  readonly release: SessionsDeps['release'];
  readonly services: ServiceParts;
  readonly reconciler: Reconciler;
  readonly access: AccessParts;
}

function openVaults({ providers }: Config, { store, egress, sealing, audit }: Engine): Pick<HttpDeps, 'vaults' | 'providers' | 'sealer'> {
  const clock = systemClock;
  const { sealer } = sealing;
  const testKey = createKeyTest({ sealer, check: egress.checkKey });
  return {
    vaults: auditVaults(createVaults({ store, sealer, clock, testKey, validateToken: egress.validateToken }), audit),
    providers: auditProviders(createProviders({ store, clock, managed: [...providers.keys()] }), audit),
    sealer,
  };
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
  const { allowUnrestrictedNetwork, workspaceQuotaMax: maxDiskBytes } = config;
  const { checkSkills } = contentPartsOf(config, engine);
  const agents = createAgents({ store, clock, limits: chosen.limits, checkSkills, onChanged });
  const environments = createEnvironments({
    store,
    clock,
    limits: { allowUnrestrictedNetwork, maxDiskBytes },
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
  { health, stages, sessionFiles, reconciler, live }: HttpParts,
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
    warmPool: { max: config.warmPoolMax, reason: noWarmPool(config), report: (tenantId) => live.pool?.report(tenantId) ?? [] },
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
  const { giving, kept } = contentPartsOf(config, engine);
  const checkFiles = kept.storedFiles.requireAll;
  const { admit } = admission;
  const sendEvents = createSendEvents({
    store,
    clock,
    bus,
    signal: dispatcher,
    maxQueuedPerSession,
    admit,
    checkFiles,
    tracer: engine.tracer,
  });
  const sessions = createSessions({
    store,
    clock,
    limits: chosen.limits,
    volumeId,
    giving,
    send: sendEvents,
    release,
    prepare: prestartOf(config, engine, live),
    sandboxOf: liveSandboxOf(live, describeSandbox),
  });
  return { sessions, sendEvents, describeSandbox };
}

function usualOf({ chosen }: Engine): HttpDeps['usual'] {
  const { model, catalog, limits } = chosen;
  const harness = catalog.defaultId;
  const required = limits.requiredProvider(harness);
  const serves = (id: string) => {
    const provider = resolveModel(id, limits.providers)?.provider;
    return provider !== undefined && limits.providers.has(provider) && (required === undefined || required === provider);
  };
  return { model, harness, serves };
}

/** The HTTP surface with all it serves. */
export async function openHttp(config: Config, engine: Engine, parts: HttpParts): Promise<App> {
  const { live, stages, sessionFiles, turnSnapshots, health, outbox, refusals, retention, release, services, reconciler } = parts;
  const { log, store, bus, volumeId } = engine;
  const { sealer } = engine.sealing;
  const clock = systemClock;
  const { sessions, sendEvents, describeSandbox } = openSessions(config, engine, parts);
  const takeOver = takeOverOf(config, engine, live);
  const { dataDir, files: limits } = config;
  const useCases = {
    store,
    clock,
    log,
    bus,
    ...(await openDefinitions(config, engine, live)),
    approvals: engine.approvals,
    audit: engine.audit,
    auditLog: createAuditLog({ store: store.audit, seals: engine.seals, flush: engine.audit.flush }),
    sessions,
    sendEvents,
    turns: createTurns({ store, send: sendEvents }),
    webhooks: createWebhooks({ store, clock, sealer }),
    callbacks: createCallbacks({ store, clock, sealer }),
    ...openVaults(config, engine),
    encryptionKeys: auditKeys(parts.encryptionKeys, engine.audit, DEFAULT_TENANT),
    access: parts.access,
    ...createWorkspaces({ store, clock, log, dataDir, sessionFiles, limits, release, turnSnapshots, volumeId, takeOver }),
    ...contentPartsOf(config, engine).kept,
    services: services.services,
    spending: createSpending({ ...engine, clock, accounts: engine.egress.accounts }),
    health: () => health.current(),
    status: openStatus(config, engine, parts),
    sandboxes: live.list,
    discardIdleSandbox: (session: SessionKey) => live.discardIdle({ only: [session] }),
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
    metricsToken: config.metricsToken,
    usual: usualOf(engine),
    turnTimeoutMs: config.turnTimeoutMs,
    adapters: config.adapters,
    refusals,
    tracer: engine.tracer,
    tally: engine.tally,
    about: { runtime: engine.driver.name, store: config.store },
    requestLeaseMs: config.leaseMs,
    assets: findAssets(),
  };
  return createApp(auditUseCases(useCases, engine.audit));
}
