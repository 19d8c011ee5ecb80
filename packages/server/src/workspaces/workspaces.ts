import { createStorageRoom, type StorageRoomDeps } from '../plans/storage-room.ts';
import type { SessionFiles } from '../sandboxes/session-files.ts';
import type { SessionKey } from '../store/store.ts';
import { createFork, type Fork, type ForksDeps } from './fork.ts';
import { createSnapshots, type Snapshots, type SnapshotsDeps } from './snapshots.ts';
import { createWorkspaceFiles, type WorkspaceFiles } from './workspace-files.ts';
import { createWorkspaceInfo, type WorkspaceInfo } from './workspace-info.ts';

export interface Workspaces {
  readonly workspaceInfo: (session: SessionKey) => Promise<WorkspaceInfo>;
  readonly files: WorkspaceFiles;
  readonly snapshots: Snapshots;
  readonly fork: Fork;
}

type Deps = Omit<SnapshotsDeps & ForksDeps, 'storage'> & StorageRoomDeps & { readonly sessionFiles: SessionFiles };

/** All that can be done with the files of sessions from outside their sandboxes. */
export function createWorkspaces(deps: Deps): Workspaces {
  const withRoom = { ...deps, storage: createStorageRoom(deps) };
  return {
    files: createWorkspaceFiles(withRoom),
    snapshots: createSnapshots(withRoom),
    fork: createFork(withRoom),
    workspaceInfo: createWorkspaceInfo(deps),
  };
}
