import { statfs } from 'node:fs/promises';
import type { Health, HealthCheck } from '@cloister/api';
import { PROBLEMS } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import type { Service } from '../base/service.ts';
import type { RuntimeDriver } from '../runtime/driver.ts';
import type { Store } from '../store/store.ts';
import { createClockCheck, createImageCheck, createLeaseCheck, type LeaseAge } from './health-checks.ts';

export interface HealthDeps {
  readonly store: Store;
  readonly driver: RuntimeDriver;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly version: string;
  readonly isDraining: () => boolean;
  /** What sandboxes are started from, where nothing else is asked for. */
  readonly image: string;
  readonly leases: LeaseAge;
}

/** Real checks, made in the background every few seconds; an answer never waits for one. */
export interface HealthMonitor extends Service {
  current(): Health;
  /** Makes all checks now. */
  refresh(): Promise<void>;
}

const INTERVAL_MS = 5000;
const DISK_LOW_BYTES = 256 * 1024 ** 2;
const DISK_FULL_BYTES = 16 * 1024 ** 2;

export function createHealthMonitor(deps: HealthDeps): HealthMonitor {
  let checks: Record<string, HealthCheck> = { store: { status: 'unhealthy', detail: 'Not checked yet.' } };
  const checkImage = createImageCheck(deps.driver, deps.image);
  const checkClock = createClockCheck(deps.clock);
  const checkLeases = createLeaseCheck(deps.leases);
  let cancel: () => void = () => undefined;
  let running: Promise<void> | undefined;

  async function checkAll(): Promise<void> {
    const [store, runtime, image, disk, clock, leases] = await Promise.all([
      checkStore(deps),
      checkRuntime(deps.driver),
      checkImage(),
      checkDisk(deps.dataDir),
      checkClock(),
      checkLeases(),
    ]);
    checks = { store, runtime, image, disk, clock, leases };
  }

  /** One round at a time: a slow check delays the next round, it does not pile up. */
  function refresh(): Promise<void> {
    running ??= checkAll().finally(() => {
      running = undefined;
    });
    return running;
  }

  return {
    name: 'health',
    async start() {
      await refresh();
      cancel = deps.clock.every(INTERVAL_MS, () => void refresh());
    },
    async stop() {
      cancel();
      await running;
    },
    refresh,
    current() {
      const all: Record<string, HealthCheck> = deps.isDraining()
        ? { ...checks, accepting: { status: 'unhealthy', detail: 'The server is stopping.' } }
        : checks;
      return { status: worst(Object.values(all)), version: deps.version, checks: all };
    },
  };
}

function worst(checks: readonly HealthCheck[]): Health['status'] {
  if (checks.some((check) => check.status === 'unhealthy')) return 'unhealthy';
  return checks.some((check) => check.status === 'degraded') ? 'degraded' : 'healthy';
}

async function checkStore(deps: HealthDeps): Promise<HealthCheck> {
  try {
    await deps.store.check({ now: deps.clock.now() });
    return { status: 'healthy', detail: 'The database takes writes.' };
  } catch (error) {
    const code = isPlatformError(error) ? error.code : 'store_unavailable';
    return { status: 'unhealthy', detail: PROBLEMS[code].title, fix: PROBLEMS[code].fix };
  }
}

/** Without an engine messages are still accepted and kept; they wait, so the server is degraded, not down. */
async function checkRuntime(driver: RuntimeDriver): Promise<HealthCheck> {
  const probe = await driver.probe();
  return probe.ok
    ? { status: 'healthy', detail: `${driver.name} ${probe.version}` }
    : { status: 'degraded', detail: probe.detail, fix: probe.fix };
}

async function checkDisk(dataDir: string): Promise<HealthCheck> {
  const { bavail, bsize } = await statfs(dataDir);
  const free = bavail * bsize;
  const detail = `${Math.floor(free / 1024 ** 2)} MiB free for the data directory.`;
  const fix = PROBLEMS.disk_full.fix;
  if (free < DISK_FULL_BYTES) return { status: 'unhealthy', detail, fix };
  return free < DISK_LOW_BYTES ? { status: 'degraded', detail, fix } : { status: 'healthy', detail };
}
