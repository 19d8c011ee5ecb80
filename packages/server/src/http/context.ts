import type { Health, SessionSandbox, Status } from '@cloister/api';
import type { Context } from 'hono';
import type { Agents } from '../agents/agents.ts';
import type { Approvals } from '../approvals/approvals.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Refusals } from '../base/refusals.ts';
import type { Callbacks } from '../callbacks/callbacks.ts';
import type { AdapterSettings } from '../config.ts';
import type { Principal } from '../core/access.ts';
import type { AuditSink } from '../core/audit.ts';
import type { EgressReport } from '../core/egress-report.ts';
import type { Sealer } from '../core/sealing.ts';
import type { Tracer } from '../core/tracing.ts';
import type { Environments } from '../environments/environments.ts';
import type { AttemptCounts } from '../outbox/outbox-worker.ts';
import type { KeptParts } from '../resources/wiring.ts';
import type { ReconcilerReport } from '../runtime/upkeep.ts';
import type { LiveSandboxInfo } from '../sandboxes/live-sandboxes.ts';
import type { WarmPool } from '../sandboxes/pool/warm-pool.ts';
import type { StageLog } from '../sandboxes/stages.ts';
import type { Services } from '../services/services.ts';
import type { EventBus } from '../sessions/event-bus.ts';
import type { SendEvents } from '../sessions/send-events.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { Turns } from '../sessions/turns.ts';
import type { SessionKey, Store } from '../store/store.ts';
import type { AccessParts } from '../tenants/wiring.ts';
import type { RunTally } from '../turns/run-tally.ts';
import type { SpendingParts } from '../usage/wiring.ts';
import type { Providers } from '../vaults/providers.ts';
import type { KeyRotation } from '../vaults/rotation.ts';
import type { Vaults } from '../vaults/vaults.ts';
import type { Webhooks } from '../webhooks/webhooks.ts';
import type { Fork } from '../workspaces/fork.ts';
import type { Snapshots } from '../workspaces/snapshots.ts';
import type { WorkspaceFiles } from '../workspaces/workspace-files.ts';
import type { WorkspaceInfo } from '../workspaces/workspace-info.ts';
import type { Flight } from './limits/flights.ts';
import type { HttpLimits } from './limits/settings.ts';

export type { Principal } from '../core/access.ts';

export interface AppVariables {
  readonly requestId: string;
  readonly principal: Principal;
  /** Of a browser that has signed in. */
  readonly signInId: string | undefined;
  readonly flight: Flight;
}

export type AppContext = Context<{ Variables: AppVariables }>;

/** Everything the routes stand on. */
export interface HttpDeps extends KeptParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly bus: EventBus;
  readonly agents: Agents;
  readonly environments: Environments;
  readonly approvals: Approvals;
  readonly audit: AuditSink;
  readonly auditLog: AuditLog;
  readonly sessions: Sessions;
  readonly sendEvents: SendEvents;
  readonly turns: Turns;
  readonly webhooks: Webhooks;
  readonly callbacks: Callbacks;
  readonly vaults: Vaults;
  readonly providers: Providers;
  readonly encryptionKeys: KeyRotation;
  readonly sealer: Sealer;
  readonly access: AccessParts;
  readonly files: WorkspaceFiles;
  readonly snapshots: Snapshots;
  readonly workspaceInfo: (session: SessionKey) => Promise<WorkspaceInfo>;
  readonly fork: Fork;
  readonly services: Services;
  readonly spending: SpendingParts;
  readonly health: () => Health;
  readonly status: (tenantId: string) => Promise<Status>;
  readonly sandboxes: () => readonly LiveSandboxInfo[];
  /** Stops the sandbox of a session, unless a turn has it. */
  readonly discardIdleSandbox: (session: SessionKey) => Promise<void>;
  /** A live sandbox as the API tells of it. */
  readonly describeSandbox: (sandbox: LiveSandboxInfo) => SessionSandbox;
  readonly pool: Pick<WarmPool, 'list' | 'tally'> | undefined;
  readonly stages: StageLog;
  readonly egress: EgressReport;
  /** What came of this server's attempts at deliveries. */
  readonly deliveryAttempts: () => AttemptCounts;
  /** What retention has removed here, by kind. */
  readonly purged: () => ReadonlyMap<string, number>;
  /** What was found in disorder on the engine and the host. */
  readonly reconciler: () => ReconcilerReport;
  /** Undefined where nobody wants traces. */
  readonly tracer: Tracer | undefined;
  /** What this server's runs did. */
  readonly tally: RunTally;
  readonly about: { readonly runtime: string; readonly store: string };
  readonly version: string;
  readonly maxBodyBytes: number;
  readonly limits: HttpLimits;
  /** Opens `/metrics` and nothing else. */
  readonly metricsToken: string | undefined;
  /** What agents are made of whose maker cannot say, and whether a model can be had. */
  readonly usual: { readonly model: string; readonly harness: string; readonly serves: (model: string) => boolean };
  /** How long a turn may take. */
  readonly turnTimeoutMs: number;
  /** Which other APIs are served beside our own. */
  readonly adapters: AdapterSettings;
  readonly refusals: Refusals;
  /** How long a server that is gone keeps a request with an Idempotency-Key from being tried again. */
  readonly requestLeaseMs: number;
  /** Files of the dashboard and of the API's page. */
  readonly assets: { readonly dashboard: string; readonly docs: string };
}
