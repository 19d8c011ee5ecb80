import type { Agents } from '../agents/agents.ts';
import type { JsonObject } from '../base/json.ts';
import type { AuditAction, AuditSink } from '../core/audit.ts';
import type { Environments } from '../environments/environments.ts';
import type { Services } from '../services/services.ts';
import type { SendEvents } from '../sessions/send-events.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Webhooks } from '../webhooks/webhooks.ts';
import type { Workspaces } from '../workspaces/workspaces.ts';
import { actingNow } from './acting.ts';

// Use cases that tell the audit what was done. It is told once the thing is done and before anybody hears of it: what
// could not be recorded is answered as a failure.

type Tell = (tenantId: string, action: AuditAction, subject: string, detail?: JsonObject) => Promise<void>;

function tellOf(audit: AuditSink): Tell {
  return (tenantId, action, subject, detail) => audit.record({ tenantId, actor: actingNow(), action, subject, detail });
}

/** Names of what a request changes; never the content. */
function fieldsOf(body: object): JsonObject {
  return { fields: Object.keys(body).sort() };
}

async function after<T>(work: Promise<T>, tell: (value: T) => Promise<void>): Promise<T> {
  const value = await work;
  await tell(value);
  return value;
}

function auditAgents(agents: Agents, audit: AuditSink): Agents {
  const tell = tellOf(audit);
  return {
    ...agents,
    create: (tenantId, body, id) =>
      after(agents.create(tenantId, body, id), (made) =>
        tell(tenantId, 'agent.created', made.id, { name: made.name, version: made.version }),
      ),
    update: (tenantId, id, body, options) =>
      after(agents.update(tenantId, id, body, options), ({ version }) =>
        tell(tenantId, 'agent.changed', id, { version, ...fieldsOf(body) }),
      ),
    archive: (tenantId, id) => after(agents.archive(tenantId, id), () => tell(tenantId, 'agent.archived', id)),
  };
}

function auditEnvironments(environments: Environments, audit: AuditSink): Environments {
  const tell = tellOf(audit);
  return {
    ...environments,
    create: (tenantId, body, id) =>
      after(environments.create(tenantId, body, id), (made) => tell(tenantId, 'environment.created', made.id, { name: made.name })),
    update: (tenantId, id, body) =>
      after(environments.update(tenantId, id, body), () => tell(tenantId, 'environment.changed', id, fieldsOf(body))),
    archive: (tenantId, id) => after(environments.archive(tenantId, id), () => tell(tenantId, 'environment.archived', id)),
    remove: (tenantId, id) => after(environments.remove(tenantId, id), () => tell(tenantId, 'environment.removed', id)),
  };
}

function auditSessions(sessions: Sessions, audit: AuditSink): Sessions {
  const tell = tellOf(audit);
  return {
    ...sessions,
    create: (tenantId, body, id) =>
      after(sessions.create(tenantId, body, id), (made) =>
        tell(tenantId, 'session.created', made.id, { agent: made.agent.id, environment: made.environment_id }),
      ),
    update: (tenantId, id, body, eventId) =>
      after(sessions.update(tenantId, id, body, eventId), () => tell(tenantId, 'session.changed', id, fieldsOf(body))),
    archive: (tenantId, id) => after(sessions.archive(tenantId, id), () => tell(tenantId, 'session.archived', id)),
    remove: (tenantId, id) => after(sessions.remove(tenantId, id), () => tell(tenantId, 'session.removed', id)),
  };
}

function auditWebhooks(webhooks: Webhooks, audit: AuditSink): Webhooks {
  const tell = tellOf(audit);
  return {
    ...webhooks,
    create: (tenantId, body, id) =>
      after(webhooks.create(tenantId, body, id), (made) => tell(tenantId, 'webhook.created', made.id, { host: hostOf(made.url) })),
    update: (tenantId, id, body) =>
      after(webhooks.update(tenantId, id, body), (made) =>
        tell(tenantId, 'webhook.changed', id, { host: hostOf(made.url), ...fieldsOf(body) }),
      ),
    remove: (tenantId, id) => after(webhooks.remove(tenantId, id), () => tell(tenantId, 'webhook.removed', id)),
    rotateSecret: (tenantId, id) => after(webhooks.rotateSecret(tenantId, id), () => tell(tenantId, 'webhook.secret_rotated', id)),
  };
}

/** A URL may carry a secret in its path or query. */
function hostOf(url: string): string {
  return URL.parse(url)?.host ?? '';
}

function auditServices(services: Services, audit: AuditSink): Services {
  const tell = tellOf(audit);
  const changed = (tenantId: string, id: string, what: string) => tell(tenantId, 'service.changed', id, { what });
  return {
    ...services,
    create: (tenantId, body, id, of) =>
      after(services.create(tenantId, body, id, of), (made) =>
        tell(tenantId, 'service.created', made.id, { name: made.name, image: made.image }),
      ),
    start: (tenantId, id) => after(services.start(tenantId, id), () => changed(tenantId, id, 'start')),
    stop: (tenantId, id) => after(services.stop(tenantId, id), () => changed(tenantId, id, 'stop')),
    restart: (tenantId, id) => after(services.restart(tenantId, id), () => changed(tenantId, id, 'restart')),
    remove: (tenantId, id) => after(services.remove(tenantId, id), () => tell(tenantId, 'service.removed', id)),
  };
}

function auditWorkspaces(
  { files, snapshots, fork }: Pick<Workspaces, 'files' | 'snapshots' | 'fork'>,
  audit: AuditSink,
): Pick<Workspaces, 'files' | 'snapshots' | 'fork'> {
  const tell = tellOf(audit);
  return {
    files: {
      ...files,
      write: (session, path, source, options) =>
        after(files.write(session, path, source, options), () => tell(session.tenantId, 'file.written', session.sessionId, { path })),
      remove: (session, path, options) =>
        after(files.remove(session, path, options), () => tell(session.tenantId, 'file.removed', session.sessionId, { path })),
      move: (session, input) =>
        after(files.move(session, input), () =>
          tell(session.tenantId, 'file.written', session.sessionId, { path: input.to, moved_from: input.from }),
        ),
      unpack: (session, path, source) =>
        after(files.unpack(session, path, source), () =>
          tell(session.tenantId, 'file.written', session.sessionId, { path, what: 'archive' }),
        ),
      pack: (session, path) =>
        after(files.pack(session, path), () => tell(session.tenantId, 'data.exported', session.sessionId, { what: 'files', path })),
    },
    snapshots: {
      ...snapshots,
      create: (session, id) =>
        after(snapshots.create(session, id), (made) => tell(session.tenantId, 'snapshot.created', made.id, { session: session.sessionId })),
      remove: (session, id) =>
        after(snapshots.remove(session, id), () => tell(session.tenantId, 'snapshot.removed', id, { session: session.sessionId })),
      restore: (session, id) =>
        after(snapshots.restore(session, id), () => tell(session.tenantId, 'snapshot.restored', id, { session: session.sessionId })),
    },
    fork: (session, input, id) =>
      after(fork(session, input, id), (made) => tell(session.tenantId, 'session.forked', made.id, { from: session.sessionId })),
  };
}

/** The published way to answer a question of a tool. */
function auditSendEvents(send: SendEvents, audit: AuditSink): SendEvents {
  const tell = tellOf(audit);
  return async (input) => {
    const sent = await send(input);
    for (const event of input.events) {
      if (event.type !== 'user.tool_confirmation') continue;
      const detail = { kind: 'tool', session: input.sessionId, decision: event.result, scope: event.scope ?? 'once' };
      await tell(input.tenantId, 'approval.answered', event.tool_use_id, detail);
    }
    return sent;
  };
}

/** What the HTTP surface stands on and can be told of. */
export interface Audited {
  readonly agents: Agents;
  readonly environments: Environments;
  readonly sessions: Sessions;
  readonly sendEvents: SendEvents;
  readonly webhooks: Webhooks;
  readonly services: Services;
  readonly files: Workspaces['files'];
  readonly snapshots: Workspaces['snapshots'];
  readonly fork: Workspaces['fork'];
}

/** The same use cases, each of whose changes is recorded. */
export function auditUseCases<T extends Audited>(useCases: T, audit: AuditSink): T {
  return {
    ...useCases,
    agents: auditAgents(useCases.agents, audit),
    environments: auditEnvironments(useCases.environments, audit),
    sendEvents: auditSendEvents(useCases.sendEvents, audit),
    sessions: auditSessions(useCases.sessions, audit),
    webhooks: auditWebhooks(useCases.webhooks, audit),
    services: auditServices(useCases.services, audit),
    ...auditWorkspaces(useCases, audit),
  };
}
