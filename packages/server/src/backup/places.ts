import type { Dirent } from 'node:fs';
import { readdir, readFile, realpath } from 'node:fs/promises';
import path from 'node:path';
import { isCode } from '../workspaces/held-directory.ts';

/** A directory that becomes a part of the backup. */
export interface Place {
  readonly directory: string;
  /** Below DATA_DIR, with slashes; empty for DATA_DIR itself. */
  readonly into: string;
  /** Only these names in it; all, unless told. */
  readonly only?: readonly string[];
}

/** The database is copied by itself; secrets go apart; sockets, drafts and what is made anew are not worth keeping. */
const NOT_FILES: readonly RegExp[] = [
  /^cloister\.db/,
  /^(run|bubblewrap|backups|skills|memory-installation|lost\+found)$/,
  /^(\.clock-|\.restore-|attack-|quota-|before-restore-)/,
];
/** What opens secrets, or proves who one is. */
const SECRETS: readonly string[] = ['admin.key', 'keys', 'egress-ca'];
const SESSIONS = 'sessions';
/** Sandboxes that stand ready are made anew. */
const NOT_SESSIONS: readonly string[] = ['.warm', '.disks', 'lost+found'];
const DISKS = '.disks';

/** All of the data directory that is to be kept, session by session. */
export async function placesOf(dataDir: string): Promise<readonly Place[]> {
  const top = (await entriesOf(dataDir)).filter(({ name }) => !NOT_FILES.some((one) => one.test(name)) && !SECRETS.includes(name));
  const places: Place[] = [{ directory: dataDir, into: '', only: top.filter((entry) => entry.isFile()).map(({ name }) => name) }];
  for (const entry of top) {
    if (entry.isFile()) continue;
    const directory = await realDirectory(path.join(dataDir, entry.name));
    if (directory === undefined) continue;
    if (entry.name === SESSIONS) places.push(...(await sessionPlaces(directory)));
    else places.push({ directory, into: entry.name });
  }
  return places.filter(({ only }) => only === undefined || only.length > 0);
}

async function sessionPlaces(directory: string): Promise<readonly Place[]> {
  const entries = (await entriesOf(directory)).filter(({ name }) => !NOT_SESSIONS.includes(name));
  const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  const disks = await unmountedDisks(directory);
  return [
    { directory, into: SESSIONS, only: files },
    ...entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => ({ directory: path.join(directory, name), into: `${SESSIONS}/${name}` })),
    { directory: path.join(directory, DISKS), into: `${SESSIONS}/${DISKS}`, only: disks },
  ];
}

/** A disk that is mounted is read as files; an image that something writes to is not read. */
async function unmountedDisks(directory: string): Promise<readonly string[]> {
  const names = (await entriesOf(path.join(directory, DISKS))).map(({ name }) => name).filter((name) => name.endsWith('.img'));
  if (names.length === 0) return [];
  const mounted = await mountPoints();
  return names.filter((name) => !mounted.has(path.join(directory, name.slice(0, -'.img'.length))));
}

/** Where something is mounted, as this process sees it. */
export async function mountPoints(): Promise<ReadonlySet<string>> {
  const table = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const plain = (text: string) => text.replaceAll(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return new Set(table.split('\n').map((line) => plain(line.split(' ')[4] ?? '')));
}

/** The files with secrets that are there. */
export async function secretFiles(dataDir: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of SECRETS) {
    const entries = await entriesOf(path.join(dataDir, name));
    found.push(...entries.filter((entry) => entry.isFile()).map((entry) => `${name}/${entry.name}`));
  }
  if ((await entriesOf(dataDir)).some((entry) => entry.name === 'admin.key' && entry.isFile())) found.push('admin.key');
  return found;
}

/** Servers may share a directory that is a link in their own. */
async function realDirectory(place: string): Promise<string | undefined> {
  try {
    const real = await realpath(place);
    await readdir(real);
    return real;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}

async function entriesOf(directory: string): Promise<readonly Dirent[]> {
  try {
    return (await readdir(directory, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
