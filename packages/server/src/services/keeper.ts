import type { ProblemCode } from '@cloister/api';
import { type Clock, delay } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { Sealer } from '../core/sealing.ts';
import type { ServiceSettings } from '../core/service-settings.ts';
import type { ServiceObservation, ServiceRef, ServiceRuntime, ServiceSpec } from '../runtime/services.ts';
import { gatewayVariables, proxyVariables } from '../sandboxes/gateway-variables.ts';
import type { ServiceChanges, ServiceEventInput, ServiceRow, ServiceStore } from '../store/store.ts';
import { type CallbackSockets, createCallbackSockets } from './callback-sockets.ts';
import { decide, ended, type Step } from './decide.ts';
import { prepareFiles, removeFiles, type ServiceFiles } from './files.ts';
import type { GatewaySockets } from './gateway-sockets.ts';
import type { Probe } from './health.ts';
import { createHealthChecks, type HealthChecks } from './health-checks.ts';
import { createPortMoves, type PortMoves } from './port-moves.ts';
import { createReport } from './report.ts';
import { openEnv, readDefinition, STOP_GRACE_MS } from './spec.ts';

export interface KeeperDeps {
  readonly services: ServiceStore;
  readonly runtime: ServiceRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly installation: string;
  readonly hostId: string;
  readonly dataDir: string;
  readonly settings: ServiceSettings;
  readonly sealer: Sealer;
  readonly probe: Probe;
  readonly gateways: GatewaySockets;
  readonly isPortFree: (address: string, port: number) => Promise<boolean>;
}

/**
 * The one that starts, restarts and ends the services of a host. Exactly one server does it at a time, under a lease;
 * it takes up whatever the one before it left, at any point. Every write names the revision that it has seen, so what
 * somebody wants meanwhile is never overwritten.
 */
export interface Keeper {
  /** Looks after the services until the signal is aborted. */
  run(signal: AbortSignal): Promise<void>;
  /** Something has changed: looks at once. */
  wake(): void;
}

interface Parts extends KeeperDeps {
  readonly portMoves: PortMoves;
}

/** Looked at without a reason as well: another server may have written what is wanted. */
const LOOK_MS = 2000;
/** They say nothing about the service. */
const PASSING: ReadonlySet<ProblemCode> = new Set(['runtime_unreachable', 'store_unavailable', 'disk_full', 'bug']);
const TMP_BYTES = 64 * 1024 * 1024;

export function createKeeper(given: KeeperDeps): Keeper {
  const deps: Parts = { ...given, portMoves: createPortMoves(given) };
  let onWake: (() => void) | undefined;
  let isWanted = false;
  const wake = () => {
    isWanted = true;
    onWake?.();
  };

  async function pause(signal: AbortSignal, ms: number): Promise<void> {
    if (isWanted || signal.aborted) return;
    const woken = Promise.withResolvers<void>();
    onWake = woken.resolve;
    const stop = new AbortController();
    const time = delay(deps.clock, ms, AbortSignal.any([signal, stop.signal])).catch(() => undefined); // woken, or the end of it all
    await Promise.race([woken.promise, time]);
    onWake = undefined;
    stop.abort();
  }

  return {
    wake,
    async run(signal) {
      const health = createHealthChecks({ ...deps, onUnhealthy: wake });
      const sockets = createCallbackSockets({ ...deps, report: createReport(deps) });
      const busy = new Map<string, Promise<void>>();
      const watching = deps.runtime.watch(deps, wake, { signal });
      while (!signal.aborted) {
        isWanted = false;
        let waitMs = LOOK_MS;
        try {
          waitMs = await look(deps, { health, sockets, busy, wake, signal });
        } catch (error) {
          if (!signal.aborted) deps.log.warn({ err: error }, 'the services could not be looked at; trying again');
        }
        await pause(signal, waitMs);
      }
      health.close();
      await Promise.all([watching, sockets.close(), ...busy.values()]);
      await deps.gateways.close();
    },
  };
}

interface Look {
  readonly health: HealthChecks;
  readonly sockets: CallbackSockets;
  /** What is under way, by service: one thing at a time. */
  readonly busy: Map<string, Promise<void>>;
  readonly wake: () => void;
  readonly signal: AbortSignal;
}

/** Begins what there is to do, and says after how long to look again. */
async function look(deps: Parts, { health, sockets, busy, wake, signal }: Look): Promise<number> {
  const { runtime, services, hostId, log } = deps;
  // The containers first: what is made while we look has its row already.
  const seen = await runtime.list(deps, { signal });
  const remnants = await runtime.remnants(deps, { signal });
  const rows = await services.listOnHost({ hostId });
  if (signal.aborted) return LOOK_MS;
  const known = new Set(rows.map(({ id }) => id));
  const begin = (id: string, work: () => Promise<void>) => {
    if (busy.has(id)) return;
    const done = work()
      .catch((error: unknown) => log.warn({ err: error, service: id }, 'a service could not be brought to where it should be'))
      .finally(() => busy.delete(id));
    busy.set(id, done);
  };
  for (const row of rows)
    begin(row.id, async () => {
      const own = seen.filter(({ ref }) => ref.service === row.id);
      if (await bring(deps, row, { own, health })) wake();
    });
  const orphans = new Set([...seen.map(({ ref }) => ref.service), ...remnants].filter((id) => !known.has(id)));
  for (const id of orphans) begin(id, () => clearAway(deps, id, seen));
  health.keep(rows);
  await sockets.keep(rows);
  await deps.gateways.keep(rows);
  const waits = rows.flatMap(({ nextStartAt }) => (nextStartAt === null ? [] : [nextStartAt - deps.clock.now()]));
  // One that is overdue is under way, and wakes us.
  return Math.min(LOOK_MS, ...waits.filter((ms) => ms > 0));
}

/** Removes what belongs to no service that there is. */
async function clearAway(deps: Parts, id: string, seen: readonly ServiceObservation[]): Promise<void> {
  for (const { ref } of seen) if (ref.service === id) await deps.runtime.remove(ref);
  await deps.runtime.forget({ installation: deps.installation, service: id });
  await removeFiles(deps.dataDir, id);
  deps.log.info({ service: id }, 'removed what was left of a service');
}

interface Found {
  /** Every container of this service. */
  readonly own: readonly ServiceObservation[];
  readonly health: HealthChecks;
}

/** One step for one service; true when there may be another at once. */
async function bring(deps: Parts, row: ServiceRow, { own, health }: Found): Promise<boolean> {
  const { clock, settings } = deps;
  const isOwn = ({ ref }: ServiceObservation) => ref.incarnation === row.incarnation;
  for (const stray of own) if (!isOwn(stray)) await deps.runtime.remove(stray.ref);
  const seen = own.find(isOwn);
  const step = decide({ row, seen, unhealthy: health.complaint(row), now: clock.now(), settings });
  return take(deps, row, { step, refs: seen === undefined ? [] : [seen.ref] });
}

async function take(deps: Parts, row: ServiceRow, { step, refs }: { step: Step; refs: readonly ServiceRef[] }): Promise<boolean> {
  switch (step.type) {
    case 'none':
      return false;
    case 'record':
      return (await record(deps, row, step.changes, step.event)) !== undefined;
    case 'clear': {
      const current = step.before === undefined ? row : await record(deps, row, step.before);
      if (current === undefined) return true;
      for (const ref of refs) await deps.runtime.stop(ref, { graceMs: STOP_GRACE_MS });
      // Written while the container can still be looked at: a crash in between finds the same again.
      if (await settle(deps, current, step)) for (const ref of refs) await deps.runtime.remove(ref);
      return true;
    }
    case 'purge': {
      const current = row.state === 'deleting' ? row : await record(deps, row, { state: 'deleting' }, { type: 'deleting' });
      if (current === undefined) return true;
      for (const ref of refs) {
        await deps.runtime.stop(ref, { graceMs: STOP_GRACE_MS });
        await deps.runtime.remove(ref);
      }
      await deps.runtime.forget({ installation: deps.installation, service: row.id });
      await removeFiles(deps.dataDir, row.id);
      await deps.services.purge(row);
      deps.portMoves.forget(row.id);
      deps.log.info({ service: row.id }, 'a service was deleted');
      return false;
    }
    case 'launch':
      return launch(deps, row);
    case 'resume':
      return start(deps, row);
  }
}

/** Writes what has come of it, unless somebody wants something else meanwhile; that is heard at the next look. */
async function settle(deps: Parts, row: ServiceRow, step: { changes: ServiceChanges; event?: ServiceEventInput }): Promise<boolean> {
  if ((await record(deps, row, step.changes, step.event)) !== undefined) return true;
  // A health check that was written meanwhile is nobody's wish.
  const current = await deps.services.find(row);
  const isWished = current?.desired !== row.desired || current.generation !== row.generation || current.incarnation !== row.incarnation;
  return !isWished && (await record(deps, current, step.changes, step.event)) !== undefined;
}

/** The incarnation's name is on disk before its container can be there. */
async function launch(deps: Parts, row: ServiceRow): Promise<boolean> {
  if (!(await deps.isPortFree(deps.settings.bind, row.port))) return moveOn(deps, row);
  const changes = {
    state: 'starting',
    incarnation: newId('incarnation'),
    startedGeneration: row.generation,
    health: 'unknown',
    nextStartAt: null,
    startedAt: null,
  } as const;
  const named = await record(deps, row, changes, { type: 'starting', detail: `on port ${row.port}` });
  return named === undefined ? true : start(deps, named);
}

async function start(deps: Parts, row: ServiceRow): Promise<boolean> {
  const { runtime, settings, clock } = deps;
  let ref: ServiceRef | undefined;
  try {
    const files = await prepareFiles(deps.dataDir, row.id, readDefinition(row).uid);
    const ready = await record(deps, row, { callbackHash: files.callbackHash });
    if (ready === undefined) return true;
    await deps.gateways.ensure(ready);
    ref = await runtime.create(toSpec(deps, ready, files));
    await runtime.start(ref);
    deps.portMoves.forget(row.id);
    await record(deps, ready, { state: 'running', startedAt: clock.now() }, { type: 'started' });
    return true;
  } catch (error) {
    if (!isPlatformError(error) || PASSING.has(error.code)) throw error;
    deps.log.warn({ err: error, service: row.id }, 'a service could not be started');
    const current = await deps.services.find(row);
    if (current === undefined || current.incarnation !== row.incarnation) return true;
    const refs = ref === undefined ? [] : [ref];
    if (error.code === 'service_port_taken') return startElsewhere(deps, current, refs);
    const now = clock.now();
    // Nothing changes by waiting for an image; everything else may pass.
    const step: Step =
      error.code === 'image_missing'
        ? {
            type: 'clear',
            changes: { state: 'failed', incarnation: null, reason: error.detail },
            event: { type: 'failed', detail: error.detail },
          }
        : ended({ row: current, now, settings }, error.detail);
    return take(deps, current, { step, refs });
  }
}

/** Somebody took the port between the look and the start. */
async function startElsewhere(deps: Parts, row: ServiceRow, refs: readonly ServiceRef[]): Promise<boolean> {
  for (const ref of refs) await deps.runtime.remove(ref);
  const freed = await record(deps, row, { state: 'pending', incarnation: null });
  return freed === undefined ? true : moveOn(deps, freed);
}

/** Another program has its port: it gets the next one, or has failed when all have been tried. */
async function moveOn(deps: Parts, row: ServiceRow): Promise<boolean> {
  deps.log.warn({ service: row.id, port: row.port }, "another program has a service's port; it gets another one");
  try {
    await deps.portMoves.next(row);
  } catch (error) {
    if (!isPlatformError(error, 'service_ports_exhausted')) throw error;
    const { first, last } = deps.settings.ports;
    const reason = `no port from ${first} to ${last} is free on its host: services and other programs have them all`;
    const changes = { state: 'failed', incarnation: null, startedGeneration: row.generation, nextStartAt: null, reason } as const;
    await record(deps, row, changes, { type: 'failed', detail: reason });
  }
  return true;
}

function record(deps: Parts, row: ServiceRow, changes: ServiceChanges, event?: ServiceEventInput): Promise<ServiceRow | undefined> {
  const { tenantId, id, revision } = row;
  return deps.services.record({ tenantId, id, revision, changes, event, now: deps.clock.now() });
}

function toSpec({ installation, settings, sealer }: KeeperDeps, row: ServiceRow, { mounts, relayDirectory }: ServiceFiles): ServiceSpec {
  const { image, argv, uid, memoryBytes, cpus, pids, port, networking, aliases } = readDefinition(row);
  return {
    labels: { installation, tenant: row.tenantId, service: row.id, incarnation: row.incarnation ?? '', aliases },
    image,
    argv: argv ?? undefined,
    env: {
      ...(networking === 'limited' ? { ...gatewayVariables(), ...proxyVariables() } : {}),
      ...openEnv(row, sealer),
      CLOISTER_SERVICE_ID: row.id,
      PORT: String(port),
    },
    uid,
    memoryBytes,
    cpus,
    pids,
    tmpBytes: Math.min(TMP_BYTES, memoryBytes),
    mounts,
    port: { inside: port, host: row.port, address: settings.bind },
    mayReachOut: networking === 'unrestricted',
    relayDirectory,
  };
}
