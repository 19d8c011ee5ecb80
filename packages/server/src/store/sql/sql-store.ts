import { invariant } from '../../base/errors.ts';
import type { Store } from '../store.ts';
import { createAdapterSessionStore } from './adapter-sessions.ts';
import { createAgentStore } from './agents.ts';
import { createApiKeyStore } from './api-keys.ts';
import { createApprovalStore } from './approvals.ts';
import { createAuditStore } from './audit.ts';
import { createBudgetStore } from './budgets.ts';
import { createCallbackStore } from './callbacks.ts';
import { createBlobStore, createFileStore } from './contents.ts';
import { createEgressStore } from './egress.ts';
import type { Engine } from './engine.ts';
import { createEnvironmentStore } from './environments.ts';
import { createEventStore } from './events.ts';
import { createInvitations } from './invitations.ts';
import { createLinkStore } from './links.ts';
import { createMemoryStores } from './memory.ts';
import { createDutyStore, createNodeStore } from './nodes.ts';
import { createOutboxStore } from './outbox.ts';
import { withOutboxSignal } from './outbox-signal.ts';
import { createPlanStore } from './plans.ts';
import { get, type Query, run } from './query.ts';
import { withRanksUnderWay } from './ranks-under-way.ts';
import { createRequestStore } from './requests.ts';
import { createRetentionStore } from './retention.ts';
import { text } from './rows.ts';
import { createSealedStore } from './sealed.ts';
import { createServiceStore } from './services.ts';
import { createSessionStore } from './sessions.ts';
import { createSkillStore } from './skills.ts';
import { createTenantStore } from './tenants.ts';
import { createTurnStore } from './turns.ts';
import { createUsageStore } from './usage.ts';
import { createUserStore } from './users.ts';
import { createVaultStore } from './vaults.ts';
import { createWarmStore } from './warm.ts';
import { createWebhookStore } from './webhooks.ts';

/** Counts, since a database may write nothing when a row stays as it was. */
const CHECK = `INSERT INTO health (id, checked_at, checks) VALUES (1, :now, 1)
  ON CONFLICT (id) DO UPDATE SET checked_at = :now, checks = health.checks + 1`;

/** The store on whichever database the engine speaks to; its schema is up to date. */
export function createSqlStore(database: Engine, onClosed: () => void): Store {
  const { engine, onAdded } = withOutboxSignal(withRanksUnderWay(database));
  return {
    agents: createAgentStore(engine),
    environments: createEnvironmentStore(engine),
    sessions: createSessionStore(engine),
    events: createEventStore(engine),
    turns: createTurnStore(engine),
    links: createLinkStore(engine),
    tenants: createTenantStore(engine),
    users: { ...createUserStore(engine), ...createInvitations(engine) },
    apiKeys: createApiKeyStore(engine),
    webhooks: createWebhookStore(engine),
    adapterSessions: createAdapterSessionStore(engine),
    callbacks: createCallbackStore(engine),
    services: createServiceStore(engine),
    outbox: createOutboxStore(engine, onAdded),
    requests: createRequestStore(engine),
    retention: createRetentionStore(engine),
    egress: createEgressStore(engine),
    blobs: createBlobStore(engine),
    files: createFileStore(engine),
    skills: createSkillStore(engine),
    memory: createMemoryStores(engine),
    nodes: createNodeStore(engine),
    duties: createDutyStore(engine),
    warm: createWarmStore(engine),
    vaults: createVaultStore(engine),
    sealed: createSealedStore(engine),
    usage: createUsageStore(engine),
    budgets: createBudgetStore(engine),
    plans: createPlanStore(engine),
    approvals: createApprovalStore(engine),
    audit: createAuditStore(engine),
    installationId: () => engine.read(findInstallation),
    async check({ now }) {
      await engine.write(() => run(CHECK, { now }));
    },
    async close() {
      await engine.close();
      onClosed();
    },
  };
}

function* findInstallation(): Query<string> {
  const row = yield* get('SELECT id FROM installation');
  invariant(row !== undefined, 'a store that is open has been given an id');
  return text(row, 'id');
}
