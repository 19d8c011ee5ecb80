import { mkdir } from 'node:fs/promises';
import { createApprovalExpiry } from './approvals/expiry.ts';
import { systemClock } from './base/clock.ts';
import { createLogger, type Logger } from './base/log.ts';
import { createRefusals } from './base/refusals.ts';
import type { Service } from './base/service.ts';
import { VERSION } from './base/version.ts';
import { createCallbackDelivery } from './callbacks/deliver.ts';
import { type Config, loadConfig } from './config.ts';
import { createConnector } from './egress/connector.ts';
import { createProxies } from './egress/proxies.ts';
import { createProxyFetch } from './egress/proxy-fetch.ts';
import { type AcpSockets, createAcpSockets } from './http/acp/sockets.ts';
import { noclawCallbackBody } from './http/adapters/noclaw/callback.ts';
import type { App } from './http/app.ts';
import { hashApiKey } from './http/auth.ts';
import { type HttpServer, startHttpServer } from './http/server.ts';
import { type Engine, type Overrides, openEngine, runtimeName, type Undo } from './open-engine.ts';
import { openHttp } from './open-http.ts';
import { OutboxWorker } from './outbox/outbox-worker.ts';
import { traceDeliveries } from './outbox/traced.ts';
import { createRetention, type Retention } from './retention/retention.ts';
import type { SandboxObservation } from './runtime/driver.ts';
import { sandboxImageTag } from './runtime/image.ts';
import { createReconciler, type Reconciler } from './runtime/reconciler.ts';
import { createFileSweep } from './sandboxes/file-sweep.ts';
import type { LiveSandboxes } from './sandboxes/live-sandboxes.ts';
import type { SessionFiles } from './sandboxes/session-files.ts';
import { createSocketResidue, ownersOf } from './sandboxes/socket-residue.ts';
import { createServiceParts } from './services/wiring.ts';
import { createQueueAdmission } from './sessions/queue-admission.ts';
import type { SessionsDeps } from './sessions/sessions.ts';
import { createDuty } from './system/duty.ts';
import { createHealthMonitor, type HealthMonitor } from './system/health.ts';
import { createNodeMarks } from './system/node-marks.ts';
import { createNodePresence, type NodePresence } from './system/node-presence.ts';
import { type AdminKey, ensureAdminKey } from './tenants/bootstrap.ts';
import { ensureEnvironmentKey } from './tenants/environment-key.ts';
import { createAccess } from './tenants/wiring.ts';
import { createTurnParts, type TurnParts } from './turn-parts.ts';
import { createKeyRotation, type KeyRotation } from './vaults/rotation.ts';
import { createUpgrade } from './vaults/upgrade.ts';
import { createWebhookDelivery } from './webhooks/deliver.ts';
import { createSender } from './webhooks/send.ts';

export interface RunningServer {
  readonly url: string;
  readonly runtime: string;
  readonly model: string;
  readonly harness: string;
  readonly isDemo: boolean;
  readonly adminKey: AdminKey;
  readonly log: Logger;
  /** Takes no new work, lets turns finish for a while, and lets go of everything. */
  stop(): Promise<void>;
}

/** How long open answers and streams may go on once nothing runs any more. */
const HTTP_GRACE_MS = 1000;
/** How long an endpoint may take to answer a webhook. */
const WEBHOOK_TIMEOUT_MS = 15_000;

/** Puts the whole server together and starts it: the only place that names the concrete parts. */
export async function startServer(config: Config = loadConfig(), overrides: Overrides = {}): Promise<RunningServer> {
  const log = createLogger(config.log);
  const undo: (() => Promise<unknown>)[] = [];
  try {
    return await assemble(config, overrides, log, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step().catch((cause: unknown) => log.warn({ err: cause }, 'cleaning up after a failed start'));
    throw error;
  }
}

async function assemble(config: Config, overrides: Overrides, log: Logger, undo: Undo): Promise<RunningServer> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  const engine = await openEngine(config, overrides, log, undo);
  const { driver, chosen } = engine;
  const turnParts = createTurnParts(config, engine);
  const { live, dispatcher, sessionFiles, quotaWatch } = turnParts;
  const clock = systemClock;
  const { presence, reconciler, health } = createWatch(config, engine, turnParts);
  const adminKey = await openKeys(config, engine);
  const outbox = createOutbox(config, engine);
  const encryptionKeys = openKeyRotation(engine);
  const services = await createServiceParts({ ...engine, config, runtime: driver.services, clock });
  const release = createRelease(live, sessionFiles);
  const { retention, duty, fileSweep, expiry } = createUpkeep(config, engine, turnParts, release);
  const refusals = createRefusals();
  const admission = createQueueAdmission({ ...engine, clock, refusals, max: config.maxQueued, maxPerTenant: config.maxQueuedPerTenant });
  const { access, removal } = createAccess({
    ...engine,
    clock,
    refusals,
    signal: dispatcher,
    services: services.services,
    release,
    fetch: createProxyFetch(config.egress.upstreamProxy),
    settings: config,
  });
  const app = await openHttp(config, engine, {
    ...turnParts,
    access,
    health,
    outbox,
    encryptionKeys,
    admission,
    refusals,
    retention,
    release,
    services,
    reconciler,
  });
  const keepers = [removal, ...services.keepers, ...(live.pool === undefined ? [] : [live.pool])];
  const housekeeping = [encryptionKeys, health, admission, duty, sessionFiles, fileSweep, quotaWatch, expiry];
  // What is left of the last life goes first: an old sandbox must not work beside a new one.
  await startAll(undo, [presence, reconciler, dispatcher, outbox, ...housekeeping, ...keepers]);
  const http = await startHttpServer({ app, host: config.host, port: config.port, clock, sockets: openSockets(config, app, log) });
  return {
    url: http.url,
    runtime: runtimeName(driver),
    model: chosen.model,
    harness: chosen.catalog.defaultId,
    isDemo: chosen.isDemo,
    adminKey,
    log,
    stop: () =>
      stopAll(engine, {
        live,
        dispatcher,
        presence,
        http,
        keepers: [duty, ...keepers],
        rest: [expiry, encryptionKeys, health, admission, outbox, quotaWatch, fileSweep, sessionFiles, reconciler],
      }),
  };
}

/** Who is there, what runs, and how we are. */
function createWatch(
  config: Config,
  engine: Engine,
  { live, desired, dispatcher }: TurnParts,
): { readonly presence: NodePresence; readonly reconciler: Reconciler; readonly health: HealthMonitor } {
  const clock = systemClock;
  const { dataDir, sandboxImage: image = sandboxImageTag('default') } = config;
  const presence = openPresence(config, engine, live);
  const isOwned = ({ ref, labels }: SandboxObservation) => live.isOwned(ref) || presence.isAliveElsewhere(labels.node);
  const residues = [createSocketResidue({ ...engine, dataDir, clock, ...ownersOf(live, presence) })];
  const leases = { leaseMs: config.leaseMs, ageMs: presence.beatAgeMs };
  const isDraining = () => !dispatcher.isAccepting();
  return {
    presence,
    reconciler: createReconciler({ ...engine, clock, isOwned, desired, residues }),
    health: createHealthMonitor({ ...engine, clock, dataDir, version: VERSION, isDraining, image, leases }),
  };
}

/** The keys that the settings bring, or that are made at the first start. */
async function openKeys({ dataDir, adminKey: configured, adapters, notes }: Config, { store, log }: Engine): Promise<AdminKey> {
  const common = { store, clock: systemClock, hash: hashApiKey };
  const adminKey = await ensureAdminKey({ ...common, dataDir, configured });
  for (const note of notes) log.warn(note);
  const key = adapters.enabled.has('noclaw') ? adapters.noclaw.apiKey : undefined;
  await ensureEnvironmentKey({ ...common, name: 'NOCLAW_API_KEY', role: 'member', key });
  return adminKey;
}

/** What goes over what is kept: by its age, its owner and its time to answer. */
function createUpkeep(config: Config, engine: Engine, { dispatcher, sessionFiles }: TurnParts, release: SessionsDeps['release']) {
  const clock = systemClock;
  const retention = createRetentionOf(config, engine, release);
  return {
    retention,
    duty: createRetentionDuty(config, engine, retention),
    fileSweep: createFileSweep({ ...engine.store, ...engine, dataDir: config.dataDir, files: sessionFiles, clock }),
    expiry: createApprovalExpiry({ ...engine, clock, signal: dispatcher, sweepMs: config.sweepMs }),
  };
}

function openSockets({ adapters }: Config, app: App, log: Logger): AcpSockets | undefined {
  return adapters.acpHttp ? createAcpSockets({ app, clock: systemClock, log }) : undefined;
}

async function startAll(undo: Undo, services: readonly Service[]): Promise<void> {
  for (const service of services) {
    undo.push(() => service.stop());
    await service.start();
  }
}

interface Running extends Pick<TurnParts, 'live' | 'dispatcher'> {
  readonly presence: Service;
  readonly http: HttpServer;
  /** They end while turns still drain. */
  readonly keepers: readonly Service[];
  readonly rest: readonly Service[];
}

async function stopAll(engine: Engine, { live, dispatcher, presence, http, keepers, rest }: Running): Promise<void> {
  const { store, driver, egress, bus } = engine;
  const drained = dispatcher.stop();
  await Promise.all(keepers.map((service) => service.stop()));
  // Other nodes take the sessions on at once.
  await live.discardIdle({ andLater: !engine.isSoleNode });
  await presence.stop();
  await drained;
  await live.close();
  await Promise.all([...rest.map((service) => service.stop()), http.stop({ graceMs: HTTP_GRACE_MS })]);
  await egress.close();
  await driver.close();
  bus.close();
  await engine.closeTracing();
  await engine.audit.close();
  await store.close();
}

function openPresence({ dataDir, leaseMs, heartbeatMs }: Config, engine: Engine, live: LiveSandboxes): NodePresence {
  const { store, log, nodeId, isSoleNode } = engine;
  const marks = createNodeMarks({ dataDir, log });
  return createNodePresence({ nodes: store.nodes, clock: systemClock, log, nodeId, leaseMs, heartbeatMs, isSoleNode, marks, live });
}

/** What leaves the platform, by kind: webhooks go out over connections of the server's own, to checked addresses. */
function createOutbox(config: Config, { log, store, installation, nodeId, isSoleNode, sealing, tracer }: Engine): OutboxWorker {
  const [clock, proxies] = [systemClock, createProxies(config.egress.upstreamProxy)];
  const connect = createConnector({ clock, timeoutMs: WEBHOOK_TIMEOUT_MS, allowPrivateNetwork: config.allowPrivateWebhooks, proxies });
  const send = createSender({ connect, clock, timeoutMs: WEBHOOK_TIMEOUT_MS });
  const { sealer } = sealing;
  const deliver = {
    webhook: createWebhookDelivery({ store, clock, send, installation, sealer }),
    callback: createCallbackDelivery({ store, clock, send, sealer, bodies: { noclaw: noclawCallbackBody } }),
  };
  return new OutboxWorker({ store, clock, log, deliver: traceDeliveries(deliver, store, tracer), nodeId, isSoleNode });
}

/** Seals under the current key what is not yet, in the background. */
function openKeyRotation({ store, sealing, log }: Engine): KeyRotation {
  return createKeyRotation({ store: store.sealed, sealing, clock: systemClock, log, upgrade: createUpgrade(sealing.sealer) });
}

function createRelease(live: LiveSandboxes, files: SessionFiles): SessionsDeps['release'] {
  return async (sessionId, { isRemoved }) => {
    await live.discard(sessionId);
    if (isRemoved) await files.remove(sessionId);
  };
}

function createRetentionOf(config: Config, { store, log, seals }: Engine, release: SessionsDeps['release']): Retention {
  const { sessionTtlMs, eventRetentionMs: eventMs, deliveryRetentionMs: deliveryMs } = config;
  const { recordsMs: callsMs } = config.spending;
  const { sessionTtlMs: ms } = config.adapters.agentHttp;
  const adapterTtls = ms === undefined ? [] : [{ adapter: 'claude-agent-http', ms }];
  const settings = {
    sessionTtlMs,
    adapterTtls,
    eventMs,
    deliveryMs,
    egressMs: config.egress.auditMs,
    auditMs: config.audit.retentionMs,
    callsMs,
  };
  return createRetention({ store, clock: systemClock, log, seals, settings, release: (id) => release(id, { isRemoved: true }) });
}

/** One server at a time sees to it for all. */
function createRetentionDuty({ leaseMs }: Config, { store, log, nodeId }: Engine, { run }: Retention): Service {
  return createDuty({ name: 'retention', duties: store.duties, nodeId, leaseMs, clock: systemClock, log, run });
}
