import { type Json, type PageOf, pathOf, type Request } from './client-calls.ts';
import type { ArchiveUnpacked, FileMove, Snapshot, WorkspaceFile } from './wire/files.ts';

/** Files of a session's workspace. What is read comes as the response itself, to be streamed. */
export function filesOf(request: Request, json: Json) {
  return {
    list: (id: string, query: { path?: string; limit?: number; page?: string } = {}) =>
      json<PageOf<WorkspaceFile>>('GET', pathOf('sessions', id, 'files'), { query }),
    read: (id: string, file: string, signal?: AbortSignal) =>
      request('GET', pathOf('sessions', id, 'files', 'content'), { query: { path: file }, signal }),
    write: (id: string, file: string, raw: Blob | Uint8Array<ArrayBuffer>, { overwrite }: { overwrite?: boolean } = {}) =>
      json<WorkspaceFile>('PUT', pathOf('sessions', id, 'files', 'content'), { query: { path: file, overwrite }, raw }),
    remove: (id: string, file: string, { recursive }: { recursive?: boolean } = {}) =>
      json<{ path: string }>('DELETE', pathOf('sessions', id, 'files'), { query: { path: file, recursive } }),
    makeDirectory: (id: string, directory: string) =>
      json<WorkspaceFile>('POST', pathOf('sessions', id, 'files', 'directories'), { body: { path: directory } }),
    move: (id: string, body: FileMove) => json<WorkspaceFile>('POST', pathOf('sessions', id, 'files', 'move'), { body }),
    /** A tar.gz of the workspace, or of a directory of it. */
    download: (id: string, directory?: string, signal?: AbortSignal) =>
      request('GET', pathOf('sessions', id, 'files', 'archive'), { query: { path: directory }, signal }),
    /** Unpacks a tar or tar.gz into the workspace, or into a directory of it. */
    upload: (id: string, raw: Blob | Uint8Array<ArrayBuffer>, directory?: string) =>
      json<ArchiveUnpacked>('PUT', pathOf('sessions', id, 'files', 'archive'), { query: { path: directory }, raw }),
  };
}

export function snapshotsOf(json: Json) {
  return {
    list: (id: string) => json<PageOf<Snapshot>>('GET', pathOf('sessions', id, 'snapshots')),
    get: (id: string, snapshot: string) => json<Snapshot>('GET', pathOf('sessions', id, 'snapshots', snapshot)),
    create: (id: string) => json<Snapshot>('POST', pathOf('sessions', id, 'snapshots')),
    remove: (id: string, snapshot: string) => json<{ id: string }>('DELETE', pathOf('sessions', id, 'snapshots', snapshot)),
    restore: (id: string, snapshot: string) => json<Snapshot>('POST', pathOf('sessions', id, 'snapshots', snapshot, 'restore')),
  };
}
