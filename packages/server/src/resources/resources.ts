import { type ResourceParam, resourceSchema, type SessionResource } from '@cloister/api';
import { unsupported } from '../agents/definition.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import { toJsonObject } from '../base/json.ts';
import type { StoredFiles } from '../files/stored-files.ts';
import { SANDBOX_MEMORY, SANDBOX_UPLOADS, SANDBOX_WORKSPACE } from '../harness/harness.ts';
import { requireMemoryStore } from '../memory/memory.ts';
import type { JsonObject, Store } from '../store/store.ts';
import { parsePath } from '../workspaces/paths.ts';

export type FileResource = Extract<SessionResource, { type: 'file' }>;
export type MemoryResource = Extract<SessionResource, { type: 'memory_store' }>;

export const MAX_RESOURCES = 100;
const MAX_MEMORY_STORES = 8;

export interface ResourcesDeps {
  readonly store: Pick<Store, 'memory'>;
  readonly storedFiles: Pick<StoredFiles, 'requireAll'>;
  readonly clock: Clock;
}

/** What a session keeps of the resources that it is asked for. Throws for what is not there, not possible or given twice. */
export async function resolveResources(
  { store, storedFiles, clock }: ResourcesDeps,
  tenantId: string,
  params: readonly ResourceParam[],
  { present, at: before }: { readonly present: readonly SessionResource[]; readonly at?: string } = { present: [] },
): Promise<readonly SessionResource[]> {
  const resources = [...present];
  for (const [index, param] of params.entries()) {
    const at = before ?? `/resources/${index}`;
    if (param.type === 'github_repository') throw unsupported(at === '' ? '/type' : at, 'repositories as resources');
    if (param.type === 'memory_store') {
      const row = await requireMemoryStore(store, tenantId, param.memory_store_id);
      if (row.archivedAt !== null) throw new PlatformError('memory_store_archived');
      resources.push(memoryResource(param, row, resources));
    } else {
      await storedFiles.requireAll(tenantId, [param.file_id]);
      resources.push(fileResource(param, toTimestamp(clock.now()), at));
    }
    refuseTwice(resources, at);
  }
  return resources;
}

function memoryResource(
  param: Extract<ResourceParam, { type: 'memory_store' }>,
  { name, description }: { readonly name: string; readonly description: string },
  others: readonly SessionResource[],
): MemoryResource {
  const slug =
    name
      .normalize('NFKD')
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-+|-+$/g, '')
      .slice(0, 60) || 'memory';
  const taken = new Set(others.map(({ mount_path }) => mount_path));
  let mountPath = `${SANDBOX_MEMORY}/${slug}`;
  for (let count = 2; taken.has(mountPath); count++) mountPath = `${SANDBOX_MEMORY}/${slug}-${count}`;
  return {
    id: newId('resource'),
    type: 'memory_store',
    memory_store_id: param.memory_store_id,
    access: param.access ?? 'read_write',
    name,
    description,
    instructions: param.instructions ?? null,
    mount_path: mountPath,
  };
}

function fileResource({ file_id, mount_path }: Extract<ResourceParam, { type: 'file' }>, now: string, at: string): FileResource {
  const path = mount_path ?? `${SANDBOX_UPLOADS}/${file_id}`;
  const root = [SANDBOX_UPLOADS, SANDBOX_WORKSPACE].find((one) => path.startsWith(`${one}/`));
  const pointer = `${at}/mount_path`;
  if (root === undefined)
    throw new PlatformError('request_invalid', {
      detail: `A file lies below ${SANDBOX_UPLOADS} or ${SANDBOX_WORKSPACE}.`,
      fields: [{ pointer, message: `below ${SANDBOX_UPLOADS} or ${SANDBOX_WORKSPACE}` }],
    });
  parsePath(path.slice(root.length + 1), pointer);
  if (path.endsWith('/'))
    throw new PlatformError('path_invalid', { detail: 'The path names a directory.', fields: [{ pointer, message: 'names a directory' }] });
  return { id: newId('resource'), type: 'file', file_id, mount_path: path, created_at: now, updated_at: now };
}

function refuseTwice(resources: readonly SessionResource[], at: string): void {
  const last = resources.at(-1);
  const refuse = (message: string) =>
    new PlatformError('request_invalid', { detail: `The resources are not clear: ${message}.`, fields: [{ pointer: at, message }] });
  if (resources.length > MAX_RESOURCES) throw refuse(`at most ${MAX_RESOURCES} resources`);
  const stores = resources.filter((one): one is MemoryResource => one.type === 'memory_store');
  if (stores.length > MAX_MEMORY_STORES) throw refuse(`at most ${MAX_MEMORY_STORES} memory stores`);
  for (const one of resources.slice(0, -1)) {
    if (last?.type === 'memory_store' && one.type === 'memory_store' && one.memory_store_id === last.memory_store_id)
      throw refuse('the memory store is there already');
    if (last !== undefined && isOver(one.mount_path, last.mount_path)) throw refuse(`${last.mount_path} is taken already`);
  }
}

function isOver(one: string, other: string): boolean {
  return one === other || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);
}

/** As the session's row keeps them; what cannot be read is of a version that is no more. */
export function parseResources(rows: readonly JsonObject[]): readonly SessionResource[] {
  return rows.flatMap((row) => {
    const parsed = resourceSchema.safeParse(row);
    return parsed.success ? [parsed.data] : [];
  });
}

export function resourceRows(resources: readonly SessionResource[]): readonly JsonObject[] {
  return resources.map((resource) => toJsonObject(resource));
}
