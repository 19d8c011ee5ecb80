import { access, constants, stat, statfs, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PROBLEMS } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { newUnique } from '../base/ids.ts';
import type { Provider } from '../core/model.ts';
import type { ProviderConfig } from '../core/provider-config.ts';
import type { KeyCheck } from '../egress/gateway.ts';
import type { RuntimeDriver } from '../runtime/driver.ts';
import { checkModels, checkPort, checkSettings, checkSocket } from './host-checks.ts';

export interface Finding {
  readonly name: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** One thing to do; with every finding that is not ok. */
  readonly fix?: string;
}

export interface CheckDeps {
  /** The driver, or why there is none. */
  readonly runtime: RuntimeDriver | PlatformError;
  readonly images: readonly string[];
  readonly dataDir: string;
  readonly hasConfiguredKey: boolean;
  /** Those that have a key, and what tells whether it is taken. */
  readonly providers: ReadonlyMap<Provider, ProviderConfig>;
  readonly checkKey: KeyCheck;
  /** Where the server listens, or will. */
  readonly listen: { readonly host: string; readonly port: number };
  /** The engine's socket; undefined where there is none to look at. */
  readonly socket: string | undefined;
  /** What is to be said of the settings. */
  readonly notes: readonly string[];
  readonly database: () => Promise<{ readonly place: string; readonly pending: readonly string[] }>;
  readonly clock: Clock;
}

/** Looks at each thing that the server needs, changes nothing, and never throws: what cannot be told is a finding. */
export async function checkInstallation(deps: CheckDeps): Promise<readonly Finding[]> {
  const checks: readonly (readonly [string, () => Promise<readonly Omit<Finding, 'name'>[]>])[] = [
    ['settings', () => checkSettings(deps)],
    ['engine', () => checkEngine(deps)],
    ['socket', () => checkSocket(deps)],
    ['image', () => checkImages(deps)],
    ['data', () => checkDataDir(deps)],
    ['database', () => checkDatabase(deps)],
    ['disk', () => checkDisk(deps)],
    ['clock', () => checkClock(deps)],
    ['key', () => checkKey(deps)],
    ['port', () => checkPort(deps)],
    ['model', () => checkModels(deps)],
  ];
  const found = await Promise.all(checks.map(async ([name, check]) => (await check().catch(failure)).map((one) => ({ name, ...one }))));
  return found.flat();
}

function failure(error: unknown): readonly Omit<Finding, 'name'>[] {
  if (isPlatformError(error)) return [{ status: 'fail', detail: error.detail, fix: PROBLEMS[error.code].fix }];
  const detail = error instanceof Error ? error.message : String(error);
  return [{ status: 'fail', detail, fix: 'Look at the message; it comes from the system.' }];
}

export type Found = Promise<readonly Omit<Finding, 'name'>[]>;

async function checkEngine({ runtime: driver }: CheckDeps): Found {
  if (driver instanceof PlatformError) throw driver;
  const probe = await driver.probe();
  if (!probe.ok) return [{ status: 'fail', detail: probe.detail, fix: probe.fix }];
  const classes = (await driver.runtimeClasses?.()) ?? [];
  const detail = `${driver.name}: ${probe.detail}${classes.length === 0 ? '' : `; runtimes ${classes.join(', ')}`}`;
  const { isIsolated, supportsLimits } = driver.capabilities;
  if (!isIsolated) return [{ status: 'fail', detail, fix: 'Set CLOISTER_RUNTIME to a runtime that isolates: this one does not.' }];
  if (!supportsLimits || /cannot enforce/.test(probe.detail))
    return [
      { status: 'warn', detail, fix: 'Enable the missing cgroup controllers of this host: what it cannot enforce, an agent can use up.' },
    ];
  return [{ status: 'ok', detail }];
}

async function checkImages({ runtime: driver, images }: CheckDeps): Found {
  if (driver instanceof PlatformError) return [];
  if (!driver.capabilities.usesImages) return [{ status: 'ok', detail: 'None is needed here.' }];
  return Promise.all(
    images.map(async (image) =>
      (await driver.hasImage(image))
        ? ({ status: 'ok', detail: image } as const)
        : ({
            status: 'fail',
            detail: `The engine has no image ${image}.`,
            fix: 'Build it with `npm run image`; the server also does so when it starts.',
          } as const),
    ),
  );
}

async function checkDataDir({ dataDir }: CheckDeps): Found {
  const found = await stat(dataDir).catch(() => undefined);
  if (found === undefined)
    return [
      {
        status: 'warn',
        detail: `${dataDir} is not there yet.`,
        fix: 'Start the server once; it makes the directory. Else correct DATA_DIR.',
      },
    ];
  if (!found.isDirectory()) return [{ status: 'fail', detail: `${dataDir} is no directory.`, fix: 'Correct DATA_DIR.' }];
  const isWritable = await access(dataDir, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!isWritable)
    return [{ status: 'fail', detail: `This user cannot write to ${dataDir}.`, fix: 'Give the directory to the user that runs Cloister.' }];
  if ((found.mode & 0o077) !== 0)
    return [
      {
        status: 'warn',
        detail: `Other users of this machine may look into ${dataDir}.`,
        fix: `Close it to them: \`chmod 700 ${dataDir}\`.`,
      },
    ];
  return [{ status: 'ok', detail: `${dataDir} is this user's alone.` }];
}

async function checkDatabase({ database }: CheckDeps): Found {
  const { place, pending } = await database();
  if (pending.length === 0) return [{ status: 'ok', detail: `${place} is up to date.` }];
  return [
    {
      status: 'warn',
      detail: `${place} is to be migrated: ${pending.join(', ')}.`,
      fix: 'Run `cloister db migrate`, or start the server, which does it.',
    },
  ];
}

const LOW_BYTES = 1024 ** 3;
const FULL_BYTES = 256 * 1024 ** 2;
const LOW_FILES = 10_000;

async function checkDisk({ dataDir }: CheckDeps): Found {
  const { bavail, bsize, ffree, files } = await statfs(await nearest(dataDir));
  const free = bavail * bsize;
  const detail = `${Math.floor(free / 1024 ** 2)} MiB and ${files === 0 ? 'any number of' : ffree} files free for ${dataDir}.`;
  const fix = PROBLEMS.disk_full.fix;
  if (free < FULL_BYTES) return [{ status: 'fail', detail, fix }];
  return [free < LOW_BYTES || (files > 0 && ffree < LOW_FILES) ? { status: 'warn', detail, fix } : { status: 'ok', detail }];
}

async function nearest(directory: string): Promise<string> {
  const isThere = await stat(directory).then(
    () => true,
    () => false,
  );
  return isThere || path.dirname(directory) === directory ? directory : nearest(path.dirname(directory));
}

/** Before this Cloister was made, it cannot be. */
const EARLIEST = Date.UTC(2026, 0, 1);
const SKEW_MS = 5000;

/** Leases and retries go by the clock; files on another machine go by its clock. */
async function checkClock({ dataDir, clock }: CheckDeps): Found {
  const fix = 'Keep the clocks in step with NTP (`timedatectl set-ntp true`).';
  if (clock.now() < EARLIEST) return [{ status: 'fail', detail: "This machine's clock is years behind.", fix }];
  const file = path.join(dataDir, `.clock-${newUnique()}`);
  const written = await writeFile(file, '').then(
    () => true,
    () => false,
  );
  if (!written) return [{ status: 'ok', detail: 'The date is plausible.' }];
  const { mtimeMs } = await stat(file);
  await unlink(file);
  const skew = Math.abs(mtimeMs - clock.now());
  if (skew > SKEW_MS)
    return [{ status: 'warn', detail: `The disk's clock is ${Math.round(skew / 1000)} s away from this machine's.`, fix }];
  return [{ status: 'ok', detail: 'The date is plausible, and the disk has the same.' }];
}

async function checkKey({ dataDir, hasConfiguredKey }: CheckDeps): Found {
  if (hasConfiguredKey) return [{ status: 'ok', detail: 'CLOISTER_ADMIN_KEY is set.' }];
  const file = path.join(dataDir, 'admin.key');
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return [{ status: 'warn', detail: `${file} is not there yet.`, fix: 'Start the server once; it makes a key.' }];
  if ((found.mode & 0o077) !== 0)
    return [{ status: 'fail', detail: `Other users of this machine may read ${file}.`, fix: `Close it to them: \`chmod 600 ${file}\`.` }];
  return [{ status: 'ok', detail: `${file} is this user's alone.` }];
}
