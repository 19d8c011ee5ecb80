import { constants } from 'node:fs';
import { lstat, open, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { PlatformError } from '../../base/errors.ts';
import { asJsonObject, isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts';

export interface MountRoot {
  /** As it is on the disk, without symlinks. */
  readonly path: string;
  readonly allowWrite: boolean;
}

export interface AllowList {
  readonly roots: readonly MountRoot[];
  /** Names that may be no part of a path: `*` stands for any characters; case does not count. */
  readonly blocked: readonly string[];
}

/** Always blocked, whatever the file says. */
const BLOCKED_NAMES: readonly string[] =
  '.ssh .gnupg .aws .azure .gcloud .kube .docker .git-credentials .netrc .npmrc .pypirc .password-store .env .env.* *.pem *.key *.p12 *.pfx id_rsa* id_ed25519* id_ecdsa* credentials credentials.json shadow docker.sock podman.sock containerd.sock crio.sock admin.key'.split(
    ' ',
  );

/** Neither these nor what holds one of them may be a root: each gives away the machine. */
const CLOSED_PLACES = [
  '/proc',
  '/sys',
  '/dev',
  '/run',
  '/boot',
  '/etc',
  '/root',
  '/usr',
  '/var/run',
  '/var/lib/docker',
  '/var/lib/containerd',
  '/var/lib/containers',
];

const MAX_FILE_BYTES = 256 * 1024;

/**
 * Reads the operator's list anew. Anything that is not as it should be, the file's owner and mode included, throws
 * `mount_refused` with what is wrong: then nothing is mounted.
 */
export async function readAllowList(file: string, dataDir: string): Promise<AllowList> {
  const [real, data] = [await realpath(file).catch(() => undefined), await realpath(dataDir).catch(() => path.resolve(dataDir))];
  if (real === undefined) throw broken(file, 'it is not there');
  if (isWithin(real, data)) throw broken(file, 'it lies in DATA_DIR, beside what agents write');
  const list = parseAllowList(file, await readOwned(file, real));
  const roots: MountRoot[] = [];
  for (const root of list.roots) {
    const place = await realpath(root.path).catch(() => undefined);
    if (place === undefined) throw broken(file, `its root ${root.path} is not there`);
    const closed = [...CLOSED_PLACES, data].find((one) => isWithin(one, place) || isWithin(place, one));
    if (closed !== undefined) throw broken(file, `its root ${root.path} is, holds or lies in ${closed}`);
    if (isWithin(real, place)) throw broken(file, `it lies in its own root ${root.path}`);
    roots.push({ path: place, allowWrite: root.allowWrite });
  }
  // What an agent may write to it may also fill with symlinks, between our look and the mount.
  const inside = roots.find((one) => roots.some((other) => other !== one && other.allowWrite && isWithin(one.path, other.path)));
  if (inside !== undefined) throw broken(file, `its root ${inside.path} lies in a root that may be written to`);
  return { roots, blocked: [...BLOCKED_NAMES, ...list.blocked] };
}

async function readOwned(file: string, real: string): Promise<string> {
  const handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(() => undefined);
  if (handle === undefined) throw broken(file, 'this user cannot read it');
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw broken(file, 'it is no file');
    const problem = trustProblem(found);
    if (problem !== undefined) throw broken(file, problem);
    const above = trustProblem(await stat(path.dirname(real)));
    if (above !== undefined) throw broken(file, `of the directory it lies in, ${above}`);
    if (found.size > MAX_FILE_BYTES) throw broken(file, `it has more than ${MAX_FILE_BYTES} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

const STICKY = 0o1000;

function trustProblem({ uid, mode }: { readonly uid: number; readonly mode: number }): string | undefined {
  if (uid !== 0 && uid !== process.getuid?.()) return "the owner is neither root nor the server's user";
  return (mode & 0o022) !== 0 && (mode & STICKY) === 0 ? 'group or others may write to it: chmod go-w' : undefined;
}

function parseAllowList(file: string, text: string): AllowList {
  const body = parseJson(text);
  if (!isJsonObject(body)) throw broken(file, 'it is no JSON object');
  const strange = Object.keys(body).find((key) => !['roots', 'blocked'].includes(key));
  if (strange !== undefined) throw broken(file, `it has an unknown field "${strange}"`);
  if (!Array.isArray(body.roots)) throw broken(file, '"roots" is no list');
  const blocked = body.blocked ?? [];
  if (!Array.isArray(blocked) || !blocked.every((one) => typeof one === 'string' && one !== '' && !one.includes('/')))
    throw broken(file, '"blocked" is no list of names without slashes');
  const names = blocked.filter((one): one is string => typeof one === 'string');
  return { roots: body.roots.map((root: JsonValue, index) => parseRoot(file, asJsonObject(root), index)), blocked: names };
}

function parseRoot(file: string, root: JsonObject, index: number): MountRoot {
  const strange = Object.keys(root).find((key) => !['path', 'allow_write'].includes(key));
  if (strange !== undefined) throw broken(file, `root ${index + 1} has an unknown field "${strange}"`);
  if (typeof root.path !== 'string' || !path.isAbsolute(root.path)) throw broken(file, `root ${index + 1} has no absolute "path"`);
  if (root.allow_write !== undefined && typeof root.allow_write !== 'boolean')
    throw broken(file, `"allow_write" of root ${index + 1} is neither true nor false`);
  return { path: root.path, allowWrite: root.allow_write === true };
}

function parseJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    // Told by the caller, with the file's name.
    return undefined;
  }
}

function broken(file: string, why: string): PlatformError {
  return new PlatformError('mount_refused', { detail: `Nothing is mounted, since MOUNT_ALLOWLIST (${file}) cannot be trusted: ${why}.` });
}

export function isWithin(place: string, root: string): boolean {
  const relative = path.relative(root, place);
  return relative === '' || (relative !== '..' && !relative.startsWith('../') && !path.isAbsolute(relative));
}

export interface MountRequest {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** The source as it is on the disk, when the list allows it. Throws `mount_refused` with what is wrong with the request. */
export async function resolveSource(list: AllowList, { source, readOnly }: MountRequest): Promise<string> {
  if (!path.isAbsolute(source) || source.includes('\0')) throw refused(source, 'it is no absolute path');
  const real = await realpath(source).catch(() => undefined);
  // The same words as for what is not allowed: else the answer would tell what there is on this machine.
  const notAllowed = refused(source, 'it is in no root that MOUNT_ALLOWLIST allows, or not there');
  if (real === undefined) throw notAllowed;
  const root = list.roots.filter((one) => isWithin(real, one.path)).sort((a, b) => b.path.length - a.path.length)[0];
  if (root === undefined) throw notAllowed;
  for (const place of [path.normalize(source), real]) {
    const blocked = place.split('/').find((name) => name !== '' && isBlocked(list, name));
    if (blocked !== undefined) throw refused(source, `"${blocked}" is a blocked name`);
  }
  const found = await lstat(real);
  if (!found.isDirectory() && !found.isFile()) throw refused(source, 'it is neither a directory nor a file');
  if (!readOnly && !root.allowWrite) throw refused(source, 'its root may only be read: set read_only');
  if (root.allowWrite && real !== root.path) throw refused(source, 'of a root that may be written to only the whole can be mounted');
  return real;
}

function isBlocked({ blocked }: AllowList, name: string): boolean {
  return blocked.some((pattern) => new RegExp(`^${pattern.replace(/[\\^$.+?()[\]{}|]/g, '\\$&').replaceAll('*', '.*')}$`, 'is').test(name));
}

function refused(source: string, why: string): PlatformError {
  return new PlatformError('mount_refused', { detail: `"${source.slice(0, 200)}" cannot be mounted: ${why}.` });
}
