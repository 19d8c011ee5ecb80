import type { ProblemCode } from '@cloister/api';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import type { Name } from './paths.ts';

const PROBLEMS: Readonly<Record<string, readonly [ProblemCode, string]>> = {
  ENOENT: ['file_not_found', 'is not there'],
  ENOTDIR: ['file_not_found', 'is no directory; links are not followed'],
  ELOOP: ['file_not_found', 'is a link, which is not followed'],
  ENAMETOOLONG: ['path_invalid', 'is too long for the filesystem'],
  EINVAL: ['file_conflict', 'changed meanwhile, or would be moved into itself'],
  EEXIST: ['file_conflict', 'is there already'],
  ENOTEMPTY: ['file_conflict', 'is a directory that is not empty'],
  EISDIR: ['file_conflict', 'is a directory'],
  EBUSY: ['file_conflict', 'is in use'],
  EACCES: ['file_refused', 'is closed by its permissions'],
  EPERM: ['file_refused', 'may not be changed'],
  ENXIO: ['file_refused', 'is no regular file'],
  ENOSPC: ['disk_full', 'could not be written'],
  EDQUOT: ['disk_full', 'could not be written'],
  EFBIG: ['file_too_large', 'is larger than the filesystem allows'],
};

/** What an error of the filesystem means to who asked; anything unknown stays as it is. The path on this side is never told. */
export function fileProblem(error: unknown, name: Name): unknown {
  if (isPlatformError(error) || !(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return error;
  const known = PROBLEMS[error.code];
  if (known === undefined) return error;
  const shown = JSON.stringify(name.toString().toWellFormed().slice(0, 80));
  return new PlatformError(known[0], { detail: `${shown} ${known[1]}.`, cause: error });
}
