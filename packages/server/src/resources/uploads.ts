import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isPlatformError } from '../base/errors.ts';
import type { StoredFiles } from '../files/stored-files.ts';
import { SANDBOX_UPLOADS, SANDBOX_WORKSPACE } from '../harness/harness.ts';
import type { SandboxMount } from '../runtime/driver.ts';
import { uploadsFolder } from '../sandboxes/directories.ts';
import type { SessionPlaces } from '../sandboxes/session-files.ts';
import { isCode } from '../workspaces/held-directory.ts';
import { randomName } from '../workspaces/random-name.ts';
import { createSafeTree } from '../workspaces/safe-tree.ts';
import { treePlaces } from '../workspaces/workspace-files.ts';
import type { FileResource } from './resources.ts';

export interface UploadsDeps {
  readonly storedFiles: Pick<StoredFiles, 'open'>;
  readonly dataDir: string;
  readonly maxBytes: number;
}

interface UploadHolder {
  readonly tenantId: string;
  readonly sessionId: string;
  readonly resources: readonly FileResource[];
}

/** The directory of files that a session can only read. Each is written once, and those that were taken back are removed. */
export async function ensureUploads(deps: UploadsDeps, holder: UploadHolder): Promise<readonly SandboxMount[]> {
  const wanted = holder.resources.filter(({ mount_path }) => mount_path.startsWith(`${SANDBOX_UPLOADS}/`));
  if (wanted.length === 0) return [];
  const root = path.join(uploadsFolder(deps.dataDir), holder.sessionId);
  const files = path.join(root, 'files');
  await mkdir(files, { recursive: true, mode: 0o755 });
  const kept = new Set<string>();
  for (const resource of wanted) {
    const place = resource.mount_path.slice(SANDBOX_UPLOADS.length + 1);
    kept.add(place);
    await writeOnce(deps, holder, { resource, root, target: path.join(files, place) });
  }
  for (const entry of await readdir(files, { recursive: true, withFileTypes: true })) {
    const place = path.join(entry.parentPath, entry.name);
    if (entry.isFile() && !kept.has(path.relative(files, place))) await rm(place, { force: true });
  }
  return [{ hostPath: files, path: SANDBOX_UPLOADS, isReadOnly: true }];
}

interface Upload {
  readonly resource: FileResource;
  readonly root: string;
  readonly target: string;
}

/** The sandbox never writes here, so the paths are our own. */
async function writeOnce({ storedFiles }: UploadsDeps, { tenantId }: UploadHolder, { resource, root, target }: Upload): Promise<void> {
  if (await stat(target).catch((error: unknown) => (isCode(error, 'ENOENT') ? undefined : Promise.reject(error)))) return;
  const draft = path.join(root, randomName());
  try {
    const { chunks } = await storedFiles.open(tenantId, resource.file_id);
    await writeFile(draft, chunks, { mode: 0o644 });
    await mkdir(path.dirname(target), { recursive: true, mode: 0o755 });
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { force: true });
    // Deleted since the session was given it: there is nothing to show.
    if (!isPlatformError(error, 'stored_file_not_found')) throw error;
  }
}

/** Those whose place is in the workspace, where the agent may change them: written once, when they are not there. */
export async function putIntoWorkspace(deps: UploadsDeps, holder: UploadHolder, places: SessionPlaces): Promise<void> {
  const tree = createSafeTree(treePlaces(places));
  for (const { mount_path, file_id } of holder.resources) {
    if (!mount_path.startsWith(`${SANDBOX_WORKSPACE}/`)) continue;
    try {
      const { chunks } = await deps.storedFiles.open(holder.tenantId, file_id);
      const place = mount_path.slice(SANDBOX_WORKSPACE.length + 1).split('/');
      await tree.write(place, chunks, { maxBytes: deps.maxBytes, isNew: true });
    } catch (error) {
      if (!['file_conflict', 'stored_file_not_found', 'file_not_found'].some((code) => isPlatformError(error) && error.code === code))
        throw error;
    }
  }
}
