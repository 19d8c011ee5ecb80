import { type HealthCheck, PROBLEMS } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import type { RuntimeDriver } from '../runtime/driver.ts';

type Check = () => Promise<HealthCheck>;

/** Rounds between two looks for an image that was there. */
const IMAGE_ROUNDS = 12;

/** Whether sandboxes have an image to start from. One that was there is looked for once a minute. */
export function createImageCheck(driver: RuntimeDriver, image: string): Check {
  let last: HealthCheck | undefined;
  let rounds = 0;
  return async () => {
    if (last?.status === 'healthy' && ++rounds < IMAGE_ROUNDS) return last;
    rounds = 0;
    last = await lookForImage(driver, image);
    return last;
  };
}

async function lookForImage(driver: RuntimeDriver, image: string): Promise<HealthCheck> {
  if (!driver.capabilities.usesImages) return { status: 'healthy', detail: `${driver.name} needs no image.` };
  let isThere: boolean;
  try {
    isThere = await driver.hasImage(image);
  } catch {
    // Why, the check of the runtime says.
    return { status: 'degraded', detail: `Whether the image ${image} is there is not known.`, fix: PROBLEMS.runtime_unreachable.fix };
  }
  if (isThere) return { status: 'healthy', detail: `The image ${image} is there.` };
  return { status: 'degraded', detail: `The image ${image} is missing: no sandbox can be started.`, fix: PROBLEMS.image_missing.fix };
}

const JUMP_MS = 5000;
/** For how long a jump is told of. */
const TOLD_MS = 5 * 60_000;

/** Whether the wall clock goes as fast as time does. Leases do not depend on it; timestamps, tokens and TLS do. */
export function createClockCheck(clock: Clock): Check {
  let before = { wall: clock.now(), monotonic: clock.monotonic() };
  let jump: { readonly ms: number; readonly at: number } | undefined;
  return async () => {
    const now = { wall: clock.now(), monotonic: clock.monotonic() };
    const ms = now.wall - before.wall - (now.monotonic - before.monotonic);
    before = now;
    if (Math.abs(ms) > JUMP_MS) jump = { ms, at: now.monotonic };
    if (jump === undefined || now.monotonic - jump.at > TOLD_MS) return { status: 'healthy', detail: 'The clock goes evenly.' };
    const way = jump.ms > 0 ? 'forward' : 'back';
    const detail = `The clock of this host was set ${way} by ${Math.round(Math.abs(jump.ms) / 1000)} s a short while ago.`;
    return { status: 'degraded', detail, fix: 'Keep the host in time with NTP (timedatectl, chrony), and look for a host that sleeps.' };
  };
}

export interface LeaseAge {
  readonly leaseMs: number;
  /** How long ago this node last said that it is alive; undefined before the first time. */
  readonly ageMs: () => number | undefined;
}

/** Whether this server still holds what it has leased: past its time, others take its turns over. */
export function createLeaseCheck({ leaseMs, ageMs }: LeaseAge): Check {
  return async () => {
    const age = ageMs();
    if (age === undefined) return { status: 'healthy', detail: 'Nothing is leased yet.' };
    const told = `This server said ${Math.round(age / 1000)} s ago that it is alive`;
    if (age < leaseMs) return { status: 'healthy', detail: `${told}.` };
    return { status: 'degraded', detail: `${told}: its leases have run out.`, fix: PROBLEMS.store_unavailable.fix };
  };
}
