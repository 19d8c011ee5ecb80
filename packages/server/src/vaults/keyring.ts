import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newUnique } from '../base/ids.ts';
import { rememberSecret } from '../base/redaction/redaction.ts';
import { isRow } from '../base/weak-secret.ts';

/** A key-encryption key: 256 random bits that never enter the database. */
export interface Kek {
  readonly id: string;
  readonly key: Buffer;
}

/** The key-encryption keys that this server has. */
export interface Keyring {
  find(id: string): Kek | undefined;
  /** The first that is written down: the one to seal with from the next rotation on. */
  first(): Kek | undefined;
  ids(): readonly string[];
  /** Where they come from, as it is told to the operator. */
  readonly source: string;
  /** Whether the server itself keeps them, and so can make and drop them. */
  readonly isManaged: boolean;
  /** Reads them again, for what another server or the operator has added; at once for one that was not missed of late. */
  reload(missing?: string): void;
  /** Makes a new first one. Only of a ring that is managed. */
  make(): Kek;
  /** Drops one. Only of a ring that is managed. */
  drop(id: string): void;
}

export interface KeyringOptions {
  readonly dataDir: string;
  readonly kek: string | undefined;
  readonly kekFile: string | undefined;
  readonly clock: Clock;
}

const KEY_BYTES = 32;
/** Random bytes of this number have some 30 values; so few never occur by chance. */
const MIN_DISTINCT = 18;
const ID = /^[a-z0-9][a-z0-9_-]{0,31}$/;
const RELOAD_MS = 1000;
const MAX_MISSED = 100;
const SUFFIX = '.kek';

/** Throws `config_invalid` for a key that is too short, or not random, or open to others. */
export function openKeyring(options: KeyringOptions): Keyring {
  const { kek, kekFile } = options;
  return kek === undefined && kekFile === undefined ? openManaged(options) : openGiven(options);
}

/** What the operator has written down, in the order it is written. */
function openGiven({ kek, kekFile, clock }: KeyringOptions): Keyring {
  const read = () => (kekFile === undefined ? parseKeks('CLOISTER_KEK', kek ?? '') : readKeks('CLOISTER_KEK_FILE', kekFile));
  const refuse = () => {
    throw new PlatformError('bug', { cause: new Error('the operator keeps these keys') });
  };
  return {
    ...reading(read, clock),
    source: kekFile ?? 'CLOISTER_KEK',
    isManaged: false,
    make: refuse,
    drop: refuse,
  };
}

/** A file for each key, so that servers that share the directory never write over each other's. */
function openManaged({ dataDir, clock }: KeyringOptions): Keyring {
  const directory = path.join(dataDir, 'keys');
  const fileOf = (id: string) => path.join(directory, `${id}${SUFFIX}`);
  const read = () => namesIn(directory).flatMap((name) => readKeks(name, path.join(directory, name)));
  const ring = reading(read, clock);
  return {
    ...ring,
    source: directory,
    isManaged: true,
    make() {
      const key = randomBytes(KEY_BYTES);
      rememberKey(key);
      const made = { id: idOf(key), key };
      writeWhole(fileOf(made.id), `${made.id}:${key.toString('base64')}\n`);
      ring.take();
      return made;
    },
    drop(id) {
      rmSync(fileOf(id), { force: true });
      ring.take();
    },
  };
}

function reading(read: () => readonly Kek[], clock: Clock): Pick<Keyring, 'find' | 'first' | 'ids' | 'reload'> & { take(): void } {
  let keks = read();
  let readAt = clock.monotonic();
  /** Key that is nowhere → when that was found out. */
  const missed = new Map<string, number>();
  const take = () => {
    readAt = clock.monotonic();
    keks = read();
  };
  return {
    find: (id) => keks.find((one) => one.id === id),
    first: () => keks[0],
    ids: () => keks.map(({ id }) => id),
    reload(missing) {
      const last = missing === undefined ? readAt : missed.get(missing);
      if (last !== undefined && clock.monotonic() - last < RELOAD_MS) return;
      take();
      if (missing === undefined || keks.some(({ id }) => id === missing)) return;
      if (missed.size >= MAX_MISSED) missed.clear();
      missed.set(missing, readAt);
    },
    take,
  };
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith(SUFFIX))
      .sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** `id:key` or a bare key, whose id is then made of it; a key is 32 bytes in base64 or hex. */
export function parseKeks(name: string, text: string): readonly Kek[] {
  const lines = text
    .split('\n')
    .map((line) => line.replace(/#.*$/, ''))
    .flatMap((line) => line.split(/[\s,]+/))
    .filter((word) => word !== '');
  const keks = lines.map((word) => {
    const [, id, text] = /^(?:([^:]*):)?(.*)$/.exec(word) ?? [];
    const key = parseKey(name, text ?? '');
    if (id !== undefined && !ID.test(id)) throw invalid(name, 'the id of a key is of small letters, digits, - and _, 32 at most');
    return { id: id ?? idOf(key), key };
  });
  if (new Set(keks.map(({ id }) => id)).size < keks.length) throw invalid(name, 'two keys have the same id');
  for (const { key } of keks) rememberKey(key);
  return keks;
}

function parseKey(name: string, text: string): Buffer {
  const key = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64');
  const isBase64 = /^[A-Za-z0-9+/_-]+={0,2}$/.test(text);
  if (!isBase64 || key.length !== KEY_BYTES)
    throw invalid(name, 'a key is 32 random bytes in base64 or hex: `openssl rand -base64 32` makes one');
  // Of a passphrase in base64, or zeros, few values are used; a key by counting has them in a row.
  const isText = key.every((byte) => byte >= 0x20 && byte < 0x7f);
  if (new Set(key).size < MIN_DISTINCT || isRow(key) || isText)
    throw invalid(name, 'the key is not random: `openssl rand -base64 32` makes one');
  return key;
}

function idOf(key: Buffer): string {
  return `kek_${createHash('sha256').update('cloister key id').update(key).digest('hex').slice(0, 12)}`;
}

function rememberKey(key: Buffer): void {
  rememberSecret(key.toString('base64'), { isLasting: true });
  rememberSecret(key.toString('base64url'), { isLasting: true });
  rememberSecret(key.toString('hex'), { isLasting: true });
}

function readKeks(name: string, file: string): readonly Kek[] {
  try {
    if ((statSync(file).mode & 0o007) !== 0) throw invalid(name, `${file} can be read by everybody: set its mode to 0600`);
    return parseKeks(name, readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof PlatformError) throw error;
    throw invalid(name, `the file ${file} cannot be read`, error);
  }
}

/** Nobody ever sees half of it, and it is on disk before anything is sealed with it. */
function writeWhole(file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const draft = `${file}.${newUnique()}.new`;
  const handle = openSync(draft, 'wx', 0o600);
  try {
    writeFileSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(draft, file);
  const directory = openSync(path.dirname(file), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function invalid(name: string, why: string, cause?: unknown): PlatformError {
  return new PlatformError('config_invalid', { detail: `${name}: ${why}.`, fields: [{ pointer: name, message: why }], cause });
}
