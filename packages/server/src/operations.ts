import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createClient, type Status } from '@cloister/api';
import { lastLines, packBundle } from './backup/bundle.ts';
import { forgottenDirectories, removeForgotten } from './backup/forgotten.ts';
import { oldBackups, removeBackup } from './backup/keep.ts';
import { secretFiles } from './backup/places.ts';
import { describeSettings } from './backup/settings.ts';
import { systemClock, toTimestamp } from './base/clock.ts';
import { isPlatformError } from './base/errors.ts';
import { newId } from './base/ids.ts';
import { silentLogger } from './base/log.ts';
import { rememberSecret } from './base/redaction/redaction.ts';
import { VERSION } from './base/version.ts';
import { chooseRuntime } from './choose-runtime.ts';
import { type Config, loadClientConfig, loadConfig } from './config.ts';
import { configuredDatabase, type DatabaseStatus } from './databases.ts';
import { diagnose } from './diagnose.ts';
import { formerImages, imageVersion, removeFormerImage } from './runtime/former-images.ts';
import { sandboxImageTag } from './runtime/image.ts';
import { countEndedInPostgres } from './store/postgres/maintenance.ts';
import { openPostgresStore } from './store/postgres/postgres-store.ts';
import { requireUnowned } from './store/sqlite/copy.ts';
import { countEndedInSqlite, lookIntoSqlite } from './store/sqlite/look.ts';
import { openSqliteStore } from './store/sqlite/sqlite-store.ts';
import type { Store } from './store/store.ts';

export interface UpgradeReport {
  readonly version: string;
  /** Of the server that answers now; null when none does. */
  readonly running: string | null;
  readonly database: Pick<DatabaseStatus, 'store' | 'place' | 'version' | 'pending'> | null;
  readonly backup: string;
  readonly images: readonly { readonly image: string; readonly state: string }[];
  /** What keeps this version from starting. */
  readonly obstacles: readonly string[];
  readonly steps: readonly string[];
}

/** Looks at what a start of this version would meet; changes nothing. */
export async function checkUpgrade(): Promise<UpgradeReport> {
  const config = loadConfig();
  const obstacles: string[] = [];
  const database = await configuredDatabase()
    .status()
    .catch((error: unknown) => {
      if (!isPlatformError(error)) throw error;
      obstacles.push(error.detail);
      return null;
    });
  const images = await lookAtImages(config, obstacles);
  const running = await runningVersion();
  const isMigrating = database !== null && database.version > 0 && database.pending.length > 0;
  const backup = !isMigrating
    ? 'none is needed'
    : config.backup.beforeMigration
      ? `is made in ${path.join(config.dataDir, 'backups')} before the migration`
      : 'none is made: MIGRATION_BACKUP is off';
  const summary =
    database === null ? null : { store: database.store, place: database.place, version: database.version, pending: database.pending };
  return {
    version: VERSION,
    running,
    database: summary,
    backup,
    images,
    obstacles,
    steps: stepsOf({ isMigrating, running, config, obstacles }),
  };
}

interface StepInput {
  readonly isMigrating: boolean;
  readonly running: string | null;
  readonly config: Config;
  readonly obstacles: readonly string[];
}

function stepsOf({ isMigrating, running, config, obstacles }: StepInput): readonly string[] {
  if (obstacles.length > 0) return ['Put right what is named above, then look again.'];
  if (!isMigrating && running === VERSION) return ['Nothing is to be done: this version is running.'];
  return [
    ...(isMigrating ? ['Make a backup that you keep elsewhere: `cloister backup --to <place>`.'] : []),
    ...(running === null
      ? ['Start the server: it migrates the database, if that is needed, before it serves.']
      : config.store === 'postgres'
        ? ['Start the new servers beside the old ones, or one after the other; each old one hands its work over when it gets SIGTERM.']
        : ['Stop the server with SIGTERM, and start this version on the same DATA_DIR.']),
    'See that it serves: `cloister status`.',
  ];
}

async function lookAtImages(config: Config, obstacles: string[]): Promise<UpgradeReport['images']> {
  const image = config.sandboxImage ?? sandboxImageTag('default');
  try {
    const { driver, engine } = await chooseRuntime(config, { log: silentLogger });
    await driver.close();
    if (engine === undefined) return [];
    const version = await imageVersion(engine, image);
    if (version === undefined && config.sandboxImage !== undefined) obstacles.push(`The engine has no image ${image}: pull or build it.`);
    const missing = config.sandboxImage === undefined ? 'missing; the start builds it, or `npm run image`' : 'missing';
    const state =
      version === undefined ? missing : version === VERSION ? `of this version` : `of version ${version ?? 'unknown'}: rebuild it`;
    return [{ image, state }];
  } catch (error) {
    if (!isPlatformError(error)) throw error;
    return [{ image, state: `cannot be looked at: ${error.detail}` }];
  }
}

async function runningVersion(): Promise<string | null> {
  const { url } = loadClientConfig();
  try {
    return (await createClient({ url, key: undefined }).health()).version;
  } catch {
    // Whatever it is: nothing of ours answers there.
    return null;
  }
}

export interface PruneItem {
  readonly kind: 'directory' | 'deliveries' | 'sandbox' | 'image' | 'backup';
  readonly what: string;
  readonly sizeBytes?: number;
  /** Why it is still there. */
  readonly failure?: string;
}

interface Removable extends PruneItem {
  remove(): Promise<void>;
}

const KEPT_BACKUPS = 3;
const SANDBOX_MS = 10 * 60_000;

/** Lists what nobody needs any more, and removes it when told to. What cannot be looked at is told. */
export async function prune({ isRemoving }: { readonly isRemoving: boolean }): Promise<{
  readonly items: readonly PruneItem[];
  readonly skipped: readonly string[];
}> {
  const config = loadConfig();
  const skipped: string[] = [];
  const found: Removable[] = [];
  const store = await openLook(config, skipped);
  try {
    if (store !== undefined) {
      const installation = await store.installationId();
      const now = systemClock.now();
      for (const one of await forgottenDirectories(store.sessions, { dataDir: config.dataDir, installation, now }))
        found.push({ kind: 'directory', what: path.join(one.folder, one.name), remove: () => removeForgotten(one) });
      found.push(...(await endedDeliveries(config)));
      found.push(...(await stoppedSandboxes(config, installation, skipped)));
    }
    for (const old of await oldBackups(config.dataDir, { kept: KEPT_BACKUPS, now: systemClock.now() }))
      found.push({ kind: 'backup', what: old.file, sizeBytes: old.sizeBytes, remove: () => removeBackup(old) });
    const items: PruneItem[] = [];
    for (const { remove, ...item } of found) items.push(isRemoving ? { ...item, ...(await tried(remove)) } : item);
    return { items, skipped };
  } finally {
    await store?.close();
  }
}

async function tried(remove: () => Promise<void>): Promise<{ readonly failure?: string }> {
  try {
    await remove();
    return {};
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

/** A store to look into; undefined, with a word of why, when it cannot be. */
async function openLook({ store, databaseUrl: url, dataDir }: Config, skipped: string[]): Promise<Store | undefined> {
  const { version, pending } = await configuredDatabase().status();
  if (version === 0 || pending.length > 0) {
    skipped.push('The database is not of this version: only backups are looked at.');
    return undefined;
  }
  if (store === 'postgres' && url !== undefined)
    return openPostgresStore({ url, poolSize: 2, clock: systemClock, log: silentLogger, nodeId: newId('node') });
  return lookIntoSqlite(path.join(dataDir, 'cloister.db'));
}

const PURGE_BATCH = 200;

async function endedDeliveries({ store: kind, databaseUrl: url, dataDir, deliveryRetentionMs }: Config): Promise<readonly Removable[]> {
  const endedBefore = systemClock.now() - deliveryRetentionMs;
  const file = path.join(dataDir, 'cloister.db');
  const isPostgres = kind === 'postgres' && url !== undefined;
  const count = isPostgres ? await countEndedInPostgres(url, endedBefore) : countEndedInSqlite(file, endedBefore);
  if (count === 0) return [];
  const remove = async () => {
    // A running server does this by itself every few minutes, and owns the file.
    if (!isPostgres) requireUnowned(file, systemClock.now());
    const store = isPostgres
      ? await openPostgresStore({ url, poolSize: 2, clock: systemClock, log: silentLogger, nodeId: newId('node') })
      : await openSqliteStore({ file, clock: systemClock });
    try {
      while ((await store.outbox.purge({ endedBefore, limit: PURGE_BATCH })) > 0);
    } finally {
      await store.close();
    }
  };
  return [{ kind: 'deliveries', what: `${count} that ended before ${toTimestamp(endedBefore)}`, remove }];
}

async function stoppedSandboxes(config: Config, installation: string, skipped: string[]): Promise<readonly Removable[]> {
  try {
    const { engine, driver } = await chooseRuntime(config, { log: silentLogger });
    try {
      const old = systemClock.now() - SANDBOX_MS;
      const stopped = (await driver.list({ installation })).filter(
        ({ state, createdAt }) => (state === 'exited' || state === 'created') && createdAt < old,
      );
      const images = engine === undefined ? [] : await formerImages(engine);
      return [
        ...stopped.map(({ ref }) => ({ kind: 'sandbox' as const, what: ref.sandbox, remove: () => removeSandbox(config, ref) })),
        ...images.map((id) => ({
          kind: 'image' as const,
          what: id,
          remove: async () => {
            if (engine !== undefined && !(await removeFormerImage(engine, id))) throw new Error('it is in use');
          },
        })),
      ];
    } finally {
      await driver.close();
    }
  } catch (error) {
    if (!isPlatformError(error)) throw error;
    skipped.push(`Sandboxes and images are not looked at: ${error.detail}`);
    return [];
  }
}

async function removeSandbox(config: Config, ref: { sandbox: string; incarnation: string; handle: string }): Promise<void> {
  const { driver } = await chooseRuntime(config, { log: silentLogger });
  try {
    await driver.remove(ref);
  } finally {
    await driver.close();
  }
}

/** Packs what helps somebody else to understand this installation, without its secrets. */
export async function makeSupportBundle({ to, logLines }: { readonly to: string | undefined; readonly logLines: number }): Promise<{
  readonly place: string;
  readonly files: readonly string[];
}> {
  const config = loadConfig();
  await rememberKeys(config);
  const { file: logFile } = config.log;
  const stamp = toTimestamp(systemClock.now()).replaceAll(/[-:]|\.\d+/g, '');
  const files = [
    { name: 'versions.json', read: async () => versions() },
    { name: 'settings.json', read: async () => describeSettings(config) },
    { name: 'doctor.json', read: async () => [...(await diagnose(config))] },
    { name: 'database.json', read: async () => configuredDatabase().status() },
    { name: 'engine.json', read: () => engineOf(config) },
    { name: 'health.json', read: async () => createClient({ url: loadClientConfig().url, key: undefined }).health() },
    { name: 'status.json', read: liveStatus },
    ...(logFile === undefined ? [] : [{ name: 'log.txt', read: () => lastLines(logFile, logLines) }]),
  ];
  const drafts = existsSync(config.dataDir) ? path.join(config.dataDir, 'backups') : os.tmpdir();
  const place = await packBundle(files, { to: to ?? `cloister-support-${stamp}.tar.gz`, drafts, stdout: process.stdout });
  return { place, files: files.map(({ name }) => name) };
}

/** A server that runs knows what is secret to it; here its keys are read to be covered, wherever they stand. */
async function rememberKeys({ dataDir, sealing, audit }: Config): Promise<void> {
  const files = (await secretFiles(dataDir)).map((name) => path.join(dataDir, name));
  if (sealing.kekFile !== undefined) files.push(sealing.kekFile);
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  for (const text of [...texts, sealing.kek ?? '', audit.keys ?? ''])
    for (const word of text.split(/[\s,]+/)) for (const secret of [word, word.slice(word.indexOf(':') + 1)]) rememberSecret(secret);
}

function versions(): object {
  const { node, openssl, sqlite } = process.versions;
  const memory = { total: os.totalmem(), free: os.freemem() };
  return {
    cloister: VERSION,
    node,
    openssl,
    sqlite,
    platform: os.platform(),
    release: os.release(),
    arch: os.arch(),
    cpus: os.cpus().length,
    memory,
  };
}

async function engineOf(config: Config): Promise<object> {
  const { driver, reason } = await chooseRuntime(config, { log: silentLogger });
  try {
    const classes = (await driver.runtimeClasses?.()) ?? [];
    return { name: driver.name, reason, probe: await driver.probe(), capabilities: driver.capabilities, classes };
  } finally {
    await driver.close();
  }
}

async function liveStatus(): Promise<Status> {
  const { url, key, keyFile } = loadClientConfig();
  return createClient({ url, key: key ?? (await readFile(keyFile, 'utf8')).trim() }).status();
}
