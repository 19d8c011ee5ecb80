import { statfs } from 'node:fs/promises';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import type { SessionPlaces } from '../sandboxes/session-files.ts';
import { isCode } from './held-directory.ts';
import { measure, type Usage } from './usage.ts';

export interface Room {
  readonly bytes: number;
  readonly entries: number;
}

/** What may still be put into the workspace from outside. Throws `workspace_full` when there is nothing left. */
export async function roomIn(places: SessionPlaces): Promise<Room> {
  const { mode, bytes, maxEntries } = places.quota;
  if (mode === 'none' || bytes === undefined) return { bytes: Infinity, entries: Infinity };
  // What is left on a disk, the kernel knows.
  if (mode === 'enforced') return { bytes: (await usageOfDisk(places.workspace)).free, entries: Infinity };
  const usage = await measure(rootsOf(places), { bytes, entries: maxEntries });
  if (usage.stopped !== undefined) throw full(places, usage.stopped);
  return { bytes: bytes - usage.bytes, entries: maxEntries - usage.entries };
}

/** The disk's own count, whoever wrote. */
export async function usageOfDisk(directory: string): Promise<{ readonly bytes: number; readonly entries: number; readonly free: number }> {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(directory);
  return { bytes: (blocks - bfree) * bsize, entries: files - ffree, free: bavail * bsize };
}

export function rootsOf({ home, workspace }: SessionPlaces): readonly string[] {
  return [home, workspace];
}

export function full({ quota }: Pick<SessionPlaces, 'quota'>, what: NonNullable<Usage['stopped']>): PlatformError {
  const { bytes = 0, maxEntries } = quota;
  const detail = {
    bytes: `The session's files take more than the ${sizeText(bytes)} that its environment allows.`,
    entries: `The session has more than ${maxEntries} files and directories, which is what ${sizeText(bytes)} allow.`,
    depth: 'Directories of the session are nested more than 200 deep, so that they cannot be measured.',
  };
  return new PlatformError('workspace_full', { detail: detail[what] });
}

/** Runs what writes into the workspace, and tells a full disk of the session from one of the server. */
export async function within<T>(places: SessionPlaces, run: (room: Room) => Promise<T>): Promise<T> {
  const room = await roomIn(places);
  try {
    return await run(room);
  } catch (error) {
    const isFull = isPlatformError(error, 'disk_full') && isCode(error.cause, 'ENOSPC', 'EDQUOT');
    if (isFull && places.quota.mode === 'enforced') throw full(places, 'bytes');
    throw error;
  }
}

/** The stricter of the server's bound and the room; one that is passed is told as what it is. */
export async function bounded<T>(places: SessionPlaces, room: Room, limit: number, run: (max: number) => Promise<T>): Promise<T> {
  const max = Math.min(limit, room.bytes);
  try {
    return await run(max);
  } catch (error) {
    const isOver = isPlatformError(error, 'file_too_large') || isPlatformError(error, 'archive_too_large');
    if (isOver && max < limit) throw full(places, 'bytes');
    throw error;
  }
}

function sizeText(bytes: number): string {
  return bytes >= 1024 ** 3 ? `${Math.round((bytes / 1024 ** 3) * 10) / 10} GiB` : `${Math.round(bytes / 1024 ** 2)} MiB`;
}
