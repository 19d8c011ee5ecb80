import type { Json, PageOf, Query, Request } from './client-calls.ts';
import type {
  Memory,
  MemoryCreate,
  MemoryListItem,
  MemoryStore,
  MemoryStoreCreate,
  MemoryStoreUpdate,
  MemoryUpdate,
  MemoryVersion,
} from './wire/memory.ts';
import type { Skill, SkillVersion } from './wire/skills.ts';
import type { ResourceParam, SessionResource, StoredFile } from './wire/stored-files.ts';

const one = (kind: string, id: string) => `/v1/${kind}/${encodeURIComponent(id)}`;

/** What is given into keeping: uploaded files, skills, memory, and what sessions have of it. */
export function contentsOf(request: Request, json: Json) {
  return { uploads: uploadsOf(request, json), skills: skillsOf(request, json), memory: memoryOf(json), resources: resourcesOf(json) };
}

function uploadsOf(request: Request, json: Json) {
  return {
    list: (query: Query = {}) => json<PageOf<StoredFile>>('GET', '/v1/files', { query }),
    get: (id: string) => json<StoredFile>('GET', one('files', id)),
    create(file: Blob, name: string, { expiresInSeconds }: { readonly expiresInSeconds?: number } = {}) {
      const form = new FormData();
      if (expiresInSeconds !== undefined) form.append('expires_in_seconds', String(expiresInSeconds));
      form.append('file', file, name);
      return json<StoredFile>('POST', '/v1/files', { form });
    },
    /** The response itself, to be streamed. */
    read: (id: string, signal?: AbortSignal) => request('GET', `${one('files', id)}/content`, { signal }),
    remove: (id: string) => json<{ id: string }>('DELETE', one('files', id)),
  };
}

/** An archive of the skill's folder, or its files by their paths. */
type SkillSource = { readonly archive: Blob; readonly name: string } | { readonly files: Readonly<Record<string, Blob>> };

function skillsOf(request: Request, json: Json) {
  const formOf = (source: SkillSource): FormData => {
    const form = new FormData();
    if ('archive' in source) form.append('files[]', source.archive, source.name);
    else for (const [path, file] of Object.entries(source.files)) form.append('files[]', file, path);
    return form;
  };
  return {
    list: (query: Query = {}) => json<PageOf<Skill>>('GET', '/v1/skills', { query }),
    get: (id: string) => json<Skill>('GET', one('skills', id)),
    create(source: SkillSource, { displayName }: { readonly displayName?: string } = {}) {
      const form = formOf(source);
      if (displayName !== undefined) form.append('display_name', displayName);
      return json<Skill>('POST', '/v1/skills', { form });
    },
    remove: (id: string) => json<{ id: string }>('DELETE', one('skills', id)),
    versions: (id: string, query: Query = {}) => json<PageOf<SkillVersion>>('GET', `${one('skills', id)}/versions`, { query }),
    addVersion: (id: string, source: SkillSource) => json<SkillVersion>('POST', `${one('skills', id)}/versions`, { form: formOf(source) }),
    getVersion: (id: string, version = 'latest') => json<SkillVersion>('GET', versionPath(id, version)),
    removeVersion: (id: string, version: string) => json<{ id: string }>('DELETE', versionPath(id, version)),
    /** A tar.gz, as the response itself. */
    download: (id: string, version = 'latest', signal?: AbortSignal) => request('GET', `${versionPath(id, version)}/content`, { signal }),
  };
}

function versionPath(id: string, version: string): string {
  return `${one('skills', id)}/versions/${encodeURIComponent(version)}`;
}

function memoryOf(json: Json) {
  const memories = (store: string) => `${one('memory_stores', store)}/memories`;
  const memory = (store: string, id: string) => `${memories(store)}/${encodeURIComponent(id)}`;
  const versions = (store: string) => `${one('memory_stores', store)}/memory_versions`;
  return {
    stores: (query: Query = {}) => json<PageOf<MemoryStore>>('GET', '/v1/memory_stores', { query }),
    getStore: (id: string) => json<MemoryStore>('GET', one('memory_stores', id)),
    createStore: (body: MemoryStoreCreate) => json<MemoryStore>('POST', '/v1/memory_stores', { body }),
    updateStore: (id: string, body: MemoryStoreUpdate) => json<MemoryStore>('POST', one('memory_stores', id), { body }),
    archiveStore: (id: string) => json<MemoryStore>('POST', `${one('memory_stores', id)}/archive`),
    removeStore: (id: string) => json<{ id: string }>('DELETE', one('memory_stores', id)),
    list: (store: string, query: Query = {}) => json<PageOf<MemoryListItem>>('GET', memories(store), { query }),
    get: (store: string, id: string) => json<Memory>('GET', memory(store, id)),
    create: (store: string, body: MemoryCreate) => json<Memory>('POST', memories(store), { body }),
    update: (store: string, id: string, body: MemoryUpdate) => json<Memory>('POST', memory(store, id), { body }),
    /** With `expected`, only while the text has that digest. */
    remove: (store: string, id: string, expected?: string) =>
      json<{ id: string }>('DELETE', memory(store, id), { query: { expected_content_sha256: expected } }),
    versions: (store: string, query: Query = {}) => json<PageOf<MemoryVersion>>('GET', versions(store), { query }),
    getVersion: (store: string, version: string) => json<MemoryVersion>('GET', `${versions(store)}/${encodeURIComponent(version)}`),
    redact: (store: string, version: string) => json<MemoryVersion>('POST', `${versions(store)}/${encodeURIComponent(version)}/redact`),
  };
}

function resourcesOf(json: Json) {
  const path = (session: string) => `${one('sessions', session)}/resources`;
  return {
    list: (session: string) => json<PageOf<SessionResource>>('GET', path(session)),
    get: (session: string, id: string) => json<SessionResource>('GET', `${path(session)}/${encodeURIComponent(id)}`),
    add: (session: string, body: Extract<ResourceParam, { type: 'file' }>) => json<SessionResource>('POST', path(session), { body }),
    remove: (session: string, id: string) => json<{ id: string }>('DELETE', `${path(session)}/${encodeURIComponent(id)}`),
  };
}
