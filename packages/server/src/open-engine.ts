import path from 'node:path';
import { type AgentChoices, chooseAgents } from './agent-choices.ts';
import { type Approvals, createApprovals } from './approvals/approvals.ts';
import { type AnswerRelay, createAnswerRelay } from './approvals/signal.ts';
import { openAuditSeals, warnOfOtherKeys } from './audit/key.ts';
import { createAuditSink, type RunningAudit } from './audit/sink.ts';
import { beforeMigrationOf } from './backups.ts';
import { systemClock } from './base/clock.ts';
import { newId } from './base/ids.ts';
import type { Logger } from './base/log.ts';
import { chooseRuntime } from './choose-runtime.ts';
import type { Config } from './config.ts';
import type { AuditSeals } from './core/audit-chain.ts';
import type { Tracer } from './core/tracing.ts';
import { createProxyFetch } from './egress/proxy-fetch.ts';
import { runFakeAgent } from './harness/fake/fake-agent.ts';
import { FAKE_AGENT_PROGRAM } from './harness/fake/fake-harness.ts';
import { type Egress, openEgress } from './open-egress.ts';
import type { RuntimeDriver } from './runtime/driver.ts';
import { seesOurMounts } from './runtime/engine-mounts.ts';
import { ensureMemoryInstallation, ensureVolume } from './sandboxes/directories.ts';
import { createExtras, type Extras } from './sandboxes/extras.ts';
import { createEventBus, type EventBus } from './sessions/event-bus.ts';
import { openPostgresStore } from './store/postgres/postgres-store.ts';
import { openSqliteStore } from './store/sqlite/sqlite-store.ts';
import type { Store } from './store/store.ts';
import { DEFAULT_TENANT } from './tenants/bootstrap.ts';
import { openTracing } from './tracing/open-tracing.ts';
import { createRunTally, type RunTally } from './turns/run-tally.ts';
import { openSealing, type Sealing } from './vaults/sealing.ts';

/** What tests put around the real parts. */
export interface Overrides {
  readonly wrapStore?: (store: Store) => Store;
}

export type Undo = (() => Promise<unknown>)[];

/** What everything else of a server stands on. */
export interface Engine {
  readonly log: Logger;
  readonly store: Store;
  /** Where acts are told. */
  readonly audit: RunningAudit;
  readonly seals: AuditSeals;
  /** Questions to people, and who is told of the answers. */
  readonly approvals: Approvals;
  readonly answers: AnswerRelay;
  readonly driver: RuntimeDriver;
  readonly runtimeReason: string;
  /** Whether sandboxes see what this process mounts. */
  readonly seesOurMounts: () => Promise<boolean>;
  readonly egress: Egress;
  readonly sealing: Sealing;
  readonly extras: Extras;
  readonly bus: EventBus;
  readonly installation: string;
  /** This process. */
  readonly nodeId: string;
  readonly volumeId: string;
  readonly isSoleNode: boolean;
  readonly chosen: AgentChoices;
  /** Undefined where nobody wants traces. */
  readonly tracer: Tracer | undefined;
  readonly closeTracing: () => Promise<void>;
  /** What this server's runs did. */
  readonly tally: RunTally;
}

/** Opens store, runtime and gateway; what is to be closed after a failed start goes into `undo`. */
export async function openEngine(config: Config, { wrapStore }: Overrides, log: Logger, undo: Undo): Promise<Engine> {
  const nodeId = newId('node');
  const opened = await openStore(config, log, nodeId);
  const store = wrapStore?.(opened) ?? opened;
  undo.push(() => store.close());
  const seals = openAuditSeals({ dataDir: config.dataDir, keys: config.audit.keys, mayMake: true });
  const audit = createAuditSink({ store: store.audit, seals, clock: systemClock, log });
  undo.push(() => audit.close());
  await warnOfOtherKeys(store.audit, DEFAULT_TENANT, seals, log);
  const answers = createAnswerRelay();
  const approvals = createApprovals({ store, clock: systemClock, audit, timeoutMs: config.approvalTimeoutMs, signal: answers });
  const fakePrograms = { [FAKE_AGENT_PROGRAM]: runFakeAgent };
  const { driver, reason, engine } = await chooseRuntime(config, { log, fakePrograms });
  undo.push(() => driver.close());
  const { sealing: settings, dataDir } = config;
  const isAlone = async () => !store.events.isShared || (await store.nodes.list()).length === 0;
  const sealing = await openSealing({ store: store.sealed, clock: systemClock, log, dataDir, settings, isAlone });
  const egress = await openEgress(config, { store, clock: systemClock, log, sealer: sealing.sealer, nodeId, approvals, tell: audit.tell });
  undo.push(() => egress.close());
  const installation = await store.installationId();
  const isSoleNode = !store.events.isShared;
  const fetch = createProxyFetch(config.egress.upstreamProxy);
  const tracing = await openTracing({ settings: config.tracing, fetch, clock: systemClock, log, installation, nodeId });
  undo.push(() => tracing.close());
  return {
    log,
    store,
    audit,
    seals,
    approvals,
    answers,
    driver,
    runtimeReason: reason,
    // Where the engine has other paths for our files, it has other mounts too.
    seesOurMounts: async () => config.hostDataDir === undefined && seesOurMounts(engine),
    egress,
    sealing,
    extras: createExtras({ ...config, driver }),
    bus: createEventBus(store, { clock: systemClock, log }),
    installation,
    nodeId,
    volumeId: await ensureVolume(config.dataDir),
    isSoleNode,
    chosen: chooseAgents(config, driver, egress.keys.providersOf),
    tracer: tracing.tracer,
    closeTracing: tracing.close,
    tally: createRunTally(),
  };
}

async function openStore(config: Config, log: Logger, nodeId: string): Promise<Store> {
  const { databaseUrl: url, databasePoolSize: poolSize, dataDir } = config;
  if (config.store === 'postgres' && url !== undefined) {
    const beforeMigration = beforeMigrationOf(config);
    return openPostgresStore({ url, poolSize, clock: systemClock, log, nodeId, beforeMigration });
  }
  if (config.store === 'memory')
    return openSqliteStore({ file: ':memory:', clock: systemClock, installation: await ensureMemoryInstallation(dataDir) });
  const keepsBefore = config.backup.beforeMigration;
  return openSqliteStore({ file: path.join(dataDir, 'cloister.db'), clock: systemClock, keepsBefore });
}

const SHORTCOMINGS = { container: '', weaker: ' (weaker isolation)', none: ' (no isolation)' } as const;

/** What the status shows; a runtime that separates less than a container, or nothing, says so. */
export function runtimeName(driver: RuntimeDriver): string {
  return `${driver.name}${SHORTCOMINGS[driver.capabilities.isolationClass]}`;
}
