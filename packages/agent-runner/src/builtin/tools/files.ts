import path from 'node:path';
import { ToolError } from './tool.ts';

/** The sandbox is the border, not the workspace: absolute paths are taken as they are. */
export function inWorkspace(cwd: string, file: string): string {
  if (file === '') throw new ToolError('the path is empty');
  return path.resolve(cwd, file);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'may not be accessed',
  EPERM: 'may not be changed',
  EISDIR: 'is a directory',
  ENOTDIR: 'is below something that is no directory',
  EROFS: 'is on a read-only file system; write below the workspace or /tmp',
  ENOSPC: 'does not fit: the disk is full',
  EDQUOT: 'does not fit: the disk quota is used up',
};

/** A file system error in the model's words. */
export function whyNot(error: unknown, file: string): Error {
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
  const reason = REASONS[code];
  if (reason !== undefined) return new ToolError(`${file} ${reason}`);
  return error instanceof Error ? error : new ToolError(String(error));
}
