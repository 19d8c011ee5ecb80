import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { VERSION } from '../base/version.ts';
import { BLOCK, formatHeader, paddingOf } from '../workspaces/tar-format.ts';
import { CHECKSUMS, FORMAT, MANIFEST, type Manifest, type Part } from './manifest.ts';
import { type PackReport, packPlace } from './pack-place.ts';
import { type Place, placesOf, secretFiles } from './places.ts';
import { sealKeys } from './sealed-keys.ts';
import { sumUp, type Written, writeNew } from './spool.ts';
import { openTarget, type Target, type TargetRequest } from './targets.ts';

export interface CopiedDatabase {
  readonly schemaVersion: number;
  readonly installation: string | null;
  readonly tables: readonly { readonly name: string; readonly rows: number }[];
}

/** A database that can be copied as it is at one moment, while servers write to it. */
export interface BackupDatabase {
  readonly kind: Manifest['database']['kind'];
  /** Makes the file `target`. */
  copy(target: string, onProgress: (what: string) => void): Promise<CopiedDatabase>;
}

export interface BackupDeps {
  readonly database: BackupDatabase;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly onProgress: (what: string) => void;
}

export interface BackupRequest extends Pick<TargetRequest, 'to' | 'stdout'> {
  /** Takes the keys too, sealed with it. */
  readonly passphrase: string | undefined;
  /** The settings as they are told, without what is secret. */
  readonly settings: object;
  /** Whether the files of sessions belong to it; the database alone otherwise. */
  readonly hasFiles: boolean;
}

export interface BackupReport {
  readonly place: string;
  readonly manifest: Manifest;
}

const DATABASE_PARTS = { sqlite: 'database.db', postgres: 'database.jsonl' } as const;
/** How often files that change while they are read are read. */
const MAX_TAKES = 3;

/**
 * Makes a backup while servers are at work. The database comes first and is of one moment; files of sessions at work
 * may be newer than it. Answers where the backup is. A failure leaves nothing behind.
 */
export async function makeBackup(deps: BackupDeps, request: BackupRequest): Promise<BackupReport> {
  const { database, dataDir, clock } = deps;
  const createdAt = toTimestamp(clock.now());
  const name = `cloister-${createdAt.replaceAll(/[-:]|\.\d+/g, '')}`;
  const target = await openTarget({ ...request, name, drafts: path.join(dataDir, 'backups') });
  try {
    const parts: Part[] = [];
    const copied = await addDatabase(deps, target, parts);
    if (request.hasFiles) for (const place of await placesOf(dataDir)) await addPlace(deps, { target, place, parts });
    if (request.passphrase !== undefined) await addKeys(deps, { target, passphrase: request.passphrase, parts });
    await addText(target, { name: 'settings.json', kind: 'settings', text: `${JSON.stringify(request.settings, null, 2)}\n`, parts });
    const manifest: Manifest = {
      format: FORMAT,
      product: 'cloister',
      version: VERSION,
      created_at: createdAt,
      database: {
        kind: database.kind,
        schema_version: copied.schemaVersion,
        installation: copied.installation,
        tables: copied.tables,
      },
      parts,
      has_files: request.hasFiles,
      has_keys: request.passphrase !== undefined,
    };
    await addManifest(target, manifest);
    return { place: await target.finish(), manifest };
  } catch (error) {
    await target.abort();
    throw error;
  }
}

async function addDatabase({ database, onProgress }: BackupDeps, target: Target, parts: Part[]): Promise<CopiedDatabase> {
  const name = DATABASE_PARTS[database.kind];
  onProgress('database');
  const file = await target.draft(name);
  const copied = await database.copy(file, onProgress);
  parts.push({ name, kind: 'database', ...(await sumUp(file)) });
  await target.add(name);
  return copied;
}

interface PlaceInput {
  readonly target: Target;
  readonly place: Place;
  readonly parts: Part[];
}

async function addPlace({ onProgress }: BackupDeps, { target, place, parts }: PlaceInput): Promise<void> {
  const { into } = place;
  onProgress(into === '' ? 'files' : into);
  const base = `files${into === '' ? '' : '/'}${into.split('/').map(encodeURIComponent).join('/')}`;
  for (let take = 1; ; take++) {
    // A part has another name for each take, since a draft is a new file.
    const name = take === 1 ? `${base}.tar` : `${base}.${take}.tar`;
    const report: PackReport = { entries: 0, omitted: [], unsteady: [] };
    const file = await target.draft(name);
    const written = await writePlace(file, place, report);
    // It has gone: its session was removed.
    if (written === undefined) return target.discard(name);
    if (report.unsteady.length > 0 && take < MAX_TAKES) {
      await target.discard(name);
      continue;
    }
    const { entries, omitted, unsteady } = report;
    parts.push({
      name,
      kind: 'files',
      ...written,
      into,
      entries,
      ...(omitted.length > 0 ? { omitted } : {}),
      ...(unsteady.length > 0 ? { unsteady } : {}),
    });
    return target.add(name);
  }
}

async function writePlace(file: string, place: Place, report: PackReport): Promise<Written | undefined> {
  try {
    return await writeNew(file, packPlace(place, report));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

interface KeysInput {
  readonly target: Target;
  readonly passphrase: string;
  readonly parts: Part[];
}

async function addKeys({ dataDir, onProgress }: BackupDeps, { target, passphrase, parts }: KeysInput): Promise<void> {
  onProgress('keys');
  const blocks: Buffer[] = [];
  for (const name of await secretFiles(dataDir)) {
    const content = await readFile(path.join(dataDir, name));
    const header = {
      path: Buffer.from(name),
      kind: 'file',
      size: content.length,
      mode: 0o600,
      modifiedAt: 0,
      target: Buffer.alloc(0),
    } as const;
    blocks.push(formatHeader(header), content, Buffer.alloc(paddingOf(content.length)));
  }
  if (blocks.length === 0)
    throw new PlatformError('config_invalid', { detail: `There are no keys in ${dataDir}: those in the settings are not backed up.` });
  const sealed = sealKeys(Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]), passphrase);
  await addText(target, { name: 'keys.sealed.json', kind: 'keys', text: sealed.toString(), parts });
}

interface TextInput {
  readonly name: string;
  readonly kind: Part['kind'];
  readonly text: string;
  readonly parts: Part[];
}

async function addText(target: Target, { name, kind, text, parts }: TextInput): Promise<void> {
  parts.push({ name, kind, ...(await writeNew(await target.draft(name), [Buffer.from(text)])) });
  await target.add(name);
}

/** Both last: without them it is no backup. The second is for `sha256sum -c`. */
async function addManifest(target: Target, manifest: Manifest): Promise<void> {
  const { sha256 } = await writeNew(await target.draft(MANIFEST), [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)]);
  await target.add(MANIFEST);
  const sums = [...manifest.parts, { name: MANIFEST, sha256 }].map((part) => `${part.sha256}  ${part.name}\n`);
  await writeNew(await target.draft(CHECKSUMS), [Buffer.from(sums.join(''))]);
  await target.add(CHECKSUMS);
}
