import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { ServiceSettings } from '../core/service-settings.ts';
import type { ServiceRow, ServiceStore } from '../store/store.ts';
import type { Probe } from './health.ts';
import { readDefinition } from './spec.ts';

export interface HealthChecks {
  /** Checks these that run, each in its own time, and forgets the others. */
  keep(rows: readonly ServiceRow[]): void;
  /** Why this incarnation has to be restarted; undefined while it has not. */
  complaint(row: ServiceRow): string | undefined;
  close(): void;
}

export interface HealthCheckDeps {
  readonly services: ServiceStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: Pick<ServiceSettings, 'healthMs' | 'healthFailures' | 'startMs' | 'bind'>;
  readonly probe: Probe;
  readonly onUnhealthy: () => void;
}

interface Checked {
  readonly since: number;
  failures: number;
  hasBeenWell: boolean;
  complaint: string | undefined;
  /** Takes the next check back. */
  cancel: () => void;
}

/** The first look is taken soon, so that what starts well is known to be well. */
const FIRST_MS = 1000;

/** The health of what runs on this host, by incarnation. Kept in memory: who takes over checks anew. */
export function createHealthChecks(deps: HealthCheckDeps): HealthChecks {
  const { clock, settings } = deps;
  const checked = new Map<string, Checked>();
  let isClosed = false;

  function schedule(row: ServiceRow, incarnation: string, state: Checked, ms: number): void {
    if (isClosed || checked.get(incarnation) !== state) return;
    state.cancel = clock.after(ms, () => {
      check(row, incarnation, state).catch((error: unknown) => {
        deps.log.warn({ err: error, service: row.id }, "a service's health could not be written");
        schedule(row, incarnation, state, settings.healthMs);
      });
    });
  }

  async function check(row: ServiceRow, incarnation: string, state: Checked): Promise<void> {
    const { health, port: _inside } = readDefinition(row);
    const path = health.path ?? '/';
    const why = health.type === 'process' ? undefined : await deps.probe({ address: settings.bind, port: row.port, path });
    if (isClosed || checked.get(incarnation) !== state) return;
    state.failures = why === undefined ? 0 : state.failures + 1;
    state.hasBeenWell ||= why === undefined;
    // One that is still coming up is given its time.
    const isPatient = !state.hasBeenWell && clock.monotonic() - state.since < settings.startMs;
    const isUnhealthy = why !== undefined && state.failures >= settings.healthFailures && !isPatient;
    await write(row, incarnation, { why, isUnhealthy });
    if (isUnhealthy) {
      state.complaint = `it failed ${state.failures} health checks in a row: ${why}`;
      deps.onUnhealthy();
    }
    schedule(row, incarnation, state, state.hasBeenWell ? settings.healthMs : Math.min(settings.healthMs, FIRST_MS * 2));
  }

  async function write(row: ServiceRow, incarnation: string, seen: { why: string | undefined; isUnhealthy: boolean }): Promise<void> {
    const current = await deps.services.find(row);
    if (current === undefined || current.incarnation !== incarnation || current.state !== 'running') return;
    const health = seen.why === undefined ? 'healthy' : seen.isUnhealthy ? 'unhealthy' : current.health;
    const event = health === current.health ? undefined : { type: health, detail: seen.why };
    const now = clock.now();
    const { tenantId, id, revision } = current;
    // A row that changed meanwhile is written at the next check.
    await deps.services.record({ tenantId, id, revision, changes: { health, checkedAt: now }, event, now });
  }

  return {
    keep(rows) {
      const running = new Map(rows.flatMap((row) => (row.state === 'running' && row.incarnation !== null ? [[row.incarnation, row]] : [])));
      for (const [incarnation, state] of checked) {
        if (running.has(incarnation)) continue;
        state.cancel();
        checked.delete(incarnation);
      }
      for (const [incarnation, row] of running) {
        if (checked.has(incarnation)) continue;
        const state: Checked = { since: clock.monotonic(), failures: 0, hasBeenWell: false, complaint: undefined, cancel: () => undefined };
        checked.set(incarnation, state);
        schedule(row, incarnation, state, Math.min(FIRST_MS, settings.healthMs));
      }
    },
    complaint: ({ incarnation }) => (incarnation === null ? undefined : checked.get(incarnation)?.complaint),
    close() {
      isClosed = true;
      for (const state of checked.values()) state.cancel();
      checked.clear();
    },
  };
}
