import { createFork, type Fork, type ForksDeps } from './fork.ts';
import { createSnapshots, type Snapshots, type SnapshotsDeps } from './snapshots.ts';
import { createWorkspaceFiles, type WorkspaceFiles } from './workspace-files.ts';

export interface Workspaces {
  readonly files: WorkspaceFiles;
  readonly snapshots: Snapshots;
  readonly fork: Fork;
}

/** All that can be done with the files of sessions from outside their sandboxes. */
export function createWorkspaces(deps: SnapshotsDeps & ForksDeps): Workspaces {
  return { files: createWorkspaceFiles(deps), snapshots: createSnapshots(deps), fork: createFork(deps) };
}
