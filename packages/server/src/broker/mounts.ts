import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { isPlatformError } from '../base/errors.ts';
import { asJsonObject, type JsonObject } from '../base/json.ts';
import type { SandboxMount } from '../runtime/driver.ts';
import { type AllowList, isWithin, readAllowList, resolveSource } from '../sandboxes/mounts/allow-list.ts';
import { type MountDeps, refusal } from './policy.ts';

/**
 * Mounts are named by the host's paths. Each must lead, without a symlink on its way, to a directory or a file two
 * levels or more below the data directory, or to what the operator's list allows. What is not there is left to the
 * engine, which refuses it by itself. Looked at when a container is made and again just before it is started: who
 * may write to the data directory could still swap it in between, which is why a sandbox is nobody on the host.
 */
export async function checkMounts(deps: MountDeps, mounts: readonly SandboxMount[]): Promise<void> {
  for (const mount of mounts) await checkMount(deps, mount);
}

/** The same for a container that is there, by what the engine says that it mounts. */
export async function recheckMounts(deps: MountDeps, container: JsonObject): Promise<void> {
  const { Mounts: mounts } = asJsonObject(container.HostConfig);
  if (!Array.isArray(mounts)) return;
  const all = mounts.map(asJsonObject).map(({ Source: source, Target: target, ReadOnly: isReadOnly }) => ({
    hostPath: typeof source === 'string' ? source : '',
    path: typeof target === 'string' ? target : '',
    isReadOnly: isReadOnly === true,
  }));
  await checkMounts(deps, all);
}

async function checkMount({ policy, hostPaths }: MountDeps, mount: SandboxMount): Promise<void> {
  const { hostPath: source } = mount;
  if (!path.isAbsolute(source) || path.normalize(source) !== source || source.includes('\0'))
    throw refusal('the source of a mount is no plain absolute path');
  if (!path.isAbsolute(mount.path) || path.normalize(mount.path) !== mount.path) throw refusal('the target of a mount is no plain path');
  const below = path.relative(await hostPaths.onHost(policy.dataDir), source);
  if (isBelow(below)) {
    if (!below.includes('/')) throw refusal('the source of a mount lies directly in the data directory');
    return walk(policy.dataDir, below.split('/'));
  }
  if (policy.mountAllowlist === undefined) throw refusal('the source of a mount is not in the data directory');
  await checkListed({ policy, hostPaths }, mount, policy.mountAllowlist);
}

/** Every part of the way is looked at itself, never at what it leads to. */
async function walk(root: string, parts: readonly string[]): Promise<void> {
  let place = root;
  for (const [index, part] of parts.entries()) {
    place = path.join(place, part);
    const found = await lstat(place).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw refusal('the way to the source of a mount cannot be looked at');
    });
    if (found === undefined) throw missing();
    if (found.isDirectory() || (found.isFile() && index === parts.length - 1)) continue;
    throw refusal('the way to the source of a mount holds a symlink, a socket or a device');
  }
}

async function checkListed({ policy, hostPaths }: MountDeps, mount: SandboxMount, file: string): Promise<void> {
  const list = await readAllowList(file, policy.dataDir).catch((error: unknown) => Promise.reject(toRefusal(error)));
  const own = await ownPath({ policy, hostPaths }, list, mount.hostPath);
  if (own === undefined) throw refusal('the source of a mount is neither in the data directory nor allowed by MOUNT_ALLOWLIST');
  const request = { source: own, target: mount.path, readOnly: mount.isReadOnly };
  const real = await resolveSource(list, request).catch((error: unknown) => Promise.reject(toRefusal(error)));
  if (real !== own) throw refusal('the way to the source of a mount holds a symlink');
}

async function ownPath({ hostPaths }: MountDeps, list: AllowList, source: string): Promise<string | undefined> {
  for (const root of list.roots) {
    const onHost = await hostPaths.onHost(root.path);
    if (isWithin(source, onHost)) return path.join(root.path, path.relative(onHost, source));
  }
  return undefined;
}

function toRefusal(error: unknown): unknown {
  return isPlatformError(error, 'mount_refused') ? refusal(error.detail) : error;
}

function isBelow(relative: string): boolean {
  return relative !== '' && relative !== '..' && !relative.startsWith('../') && !path.isAbsolute(relative);
}

/** In the engine's own words, which the driver understands. */
function missing(): Error {
  return refusal('invalid mount config for type "bind": bind source path does not exist');
}
