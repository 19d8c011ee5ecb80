import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Refusals } from '../base/refusals.ts';
import type { Service } from '../base/service.ts';
import type { AuditSink } from '../core/audit.ts';
import type { SignInSettings } from '../core/sign-in-settings.ts';
import { createOidc, type Oidc, type ProviderFetch } from '../oidc/oidc.ts';
import type { Services } from '../services/services.ts';
import type { EventBus } from '../sessions/event-bus.ts';
import { createSendEvents, type TurnSignal } from '../sessions/send-events.ts';
import type { SessionsDeps } from '../sessions/sessions.ts';
import type { Store } from '../store/store.ts';
import { createDuty } from '../system/duty.ts';
import { type Credentials, createCredentials } from './credentials.ts';
import { type ApiKeys, createApiKeys } from './keys.ts';
import { createPasswords } from './passwords.ts';
import { createPeople, type People } from './people.ts';
import { createTenantRemoval } from './removal.ts';
import { createSignIns, type SignIns } from './sign-in.ts';
import { createTenants, type Tenants } from './tenants.ts';

/** Who somebody is, and everything that manages it. */
export interface AccessParts {
  readonly credentials: Credentials;
  readonly keys: ApiKeys;
  readonly people: People;
  readonly tenants: Tenants;
  readonly signIns: SignIns;
  /** Undefined where no identity provider is configured. */
  readonly oidc: Oidc | undefined;
  readonly settings: SignInSettings;
}

export interface AccessDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly bus: EventBus;
  readonly nodeId: string;
  readonly audit: AuditSink;
  readonly refusals: Refusals;
  readonly signal: TurnSignal;
  readonly services: Pick<Services, 'remove'>;
  readonly release: SessionsDeps['release'];
  /** What the identity provider is asked with. */
  readonly fetch: ProviderFetch;
  readonly settings: { readonly signIn: SignInSettings; readonly leaseMs: number; readonly maxQueuedPerSession: number };
}

/** The parts, and the service that removes deleted tenants: on one server at a time. */
export function createAccess(deps: AccessDeps): { readonly access: AccessParts; readonly removal: Service } {
  const { store, clock, log, nodeId, release } = deps;
  const { signIn, leaseMs, maxQueuedPerSession } = deps.settings;
  const removal = createTenantRemoval({
    store,
    clock,
    log,
    send: createSendEvents({ ...deps, maxQueuedPerSession }),
    services: deps.services,
    release: (id) => release(id, { isRemoved: true }),
  });
  const access = {
    credentials: createCredentials(deps),
    keys: createApiKeys(deps),
    people: createPeople(deps),
    tenants: createTenants({ ...deps, onRemoval: removal.wake }),
    signIns: createSignIns({ ...deps, passwords: createPasswords(deps), settings: signIn }),
    oidc: signIn.oidc === undefined ? undefined : createOidc(signIn.oidc, log, deps.fetch),
    settings: signIn,
  };
  const duty = createDuty({ name: 'removal of tenants', duties: store.duties, nodeId, leaseMs, clock, log, run: removal.run });
  return { access, removal: duty };
}
