import type { ResourceParam, SessionResource } from '@cloister/api';
import { PlatformError } from '../base/errors.ts';
import { requireSession } from '../sessions/sessions.ts';
import type { SessionKey, SessionRow, Store } from '../store/store.ts';
import { parseResources, type ResourcesDeps, resolveResources, resourceRows } from './resources.ts';

/** Use cases of what a session was given. */
export interface SessionResources {
  list(session: SessionKey): Promise<readonly SessionResource[]>;
  get(session: SessionKey, id: string): Promise<SessionResource>;
  /** The next turn has it. */
  add(session: SessionKey, param: Extract<ResourceParam, { type: 'file' }>): Promise<SessionResource>;
  remove(session: SessionKey, id: string): Promise<void>;
}

export function createSessionResources(deps: ResourcesDeps & { readonly store: Pick<Store, 'memory' | 'sessions'> }): SessionResources {
  const { store, clock } = deps;
  async function read({ tenantId, sessionId }: SessionKey): Promise<{ row: SessionRow; resources: readonly SessionResource[] }> {
    const row = await requireSession(store, tenantId, sessionId);
    return { row, resources: parseResources(row.resources) };
  }
  async function write({ row, resources }: { row: SessionRow; resources: readonly SessionResource[] }): Promise<void> {
    if (row.archivedAt !== null) throw new PlatformError('session_archived');
    await store.sessions.update({ tenantId: row.tenantId, id: row.id, resources: resourceRows(resources), now: clock.now() });
  }
  return {
    list: async (session) => (await read(session)).resources,
    async get(session, id) {
      const found = (await read(session)).resources.find((one) => one.id === id);
      if (found === undefined) throw notFound(id);
      return found;
    },
    async add(session, param) {
      const { row, resources: present } = await read(session);
      if (row.archivedAt !== null) throw new PlatformError('session_archived');
      const resources = await resolveResources(deps, session.tenantId, [param], { present, at: '' });
      const added = resources.at(-1);
      if (added === undefined) throw new PlatformError('bug', { cause: new Error('a resource that was added is there') });
      await write({ row, resources });
      return added;
    },
    async remove(session, id) {
      const { row, resources } = await read(session);
      if (!resources.some((one) => one.id === id)) throw notFound(id);
      await write({ row, resources: resources.filter((one) => one.id !== id) });
    },
  };
}

function notFound(id: string): PlatformError {
  return new PlatformError('resource_not_found', { detail: `The session has no resource "${id.slice(0, 80).toWellFormed()}".` });
}
