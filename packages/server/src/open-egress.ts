import { readFile } from 'node:fs/promises';
import { getCACertificates } from 'node:tls';
import type { Approvals } from './approvals/approvals.ts';
import type { Clock } from './base/clock.ts';
import { PlatformError } from './base/errors.ts';
import type { Logger } from './base/log.ts';
import type { Config } from './config.ts';
import type { AuditEntry } from './core/audit.ts';
import type { Sealer } from './core/sealing.ts';
import { deniedBut } from './egress/addresses.ts';
import { createEgressAudit, type EgressAudit } from './egress/audit.ts';
import { createDnsResolve } from './egress/dns.ts';
import { createEgressGateway } from './egress/egress-gateway.ts';
import type { CredentialSource, EgressGateway, KeyCheck } from './egress/gateway.ts';
import { createAuthority } from './egress/inspection/authority.ts';
import { readCredentialsFile } from './egress/inspection/credentials.ts';
import type { InspectorDeps } from './egress/inspection/inspector.ts';
import { createKeyCheck } from './egress/key-check.ts';
import { DEFAULT_LIMITS } from './egress/limits.ts';
import { createProxies } from './egress/proxies.ts';
import { createSendForm } from './egress/send-form.ts';
import { createToldAudit } from './egress/told-audit.ts';
import { createUnkeptAudit } from './egress/unkept-audit.ts';
import { createCheckedAgents, type UpstreamAgents } from './egress/upstream-agents.ts';
import { createPolicySource, type PolicySource } from './environments/policy-source.ts';
import { createRefreshGrant } from './oidc/refresh-grant.ts';
import type { Store } from './store/store.ts';
import { type Accounts, createAccounts } from './usage/accounts.ts';
import { openPriceTable } from './usage/prices-file.ts';
import { createMcpCredentials } from './vaults/mcp-credentials.ts';
import { createOauthValidation, type OauthValidation } from './vaults/oauth-validation.ts';
import { type CredentialResolver, createCredentialResolver } from './vaults/resolver.ts';
import { createTokenRefresh } from './vaults/token-refresh.ts';

/** The parts of the way out of the sandboxes, as the settings want them. */
export interface Egress {
  readonly gateway: EgressGateway;
  /** For services: with models for those of an agent, and without a session's limits. */
  readonly services: EgressGateway;
  readonly audit: EgressAudit;
  readonly policies: PolicySource;
  /** Which credential holds for whom. */
  readonly keys: CredentialResolver;
  readonly checkKey: KeyCheck;
  readonly validateToken: OauthValidation;
  /** What model calls cost, and whether budgets have room for them. */
  readonly accounts: Accounts;
  /** Closes the gateway, then keeps its last decisions and what its last calls came to. */
  close(): Promise<void>;
}

export interface EgressDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sealer: Sealer;
  readonly nodeId: string;
  readonly approvals: Approvals;
  readonly tell: (entry: AuditEntry) => void;
}

export async function openEgress(config: Config, deps: EgressDeps): Promise<Egress> {
  const { store, clock, log, nodeId, approvals, tell } = deps;
  const { egress, providers, modelIdleMs } = config;
  const { maxConnections: max, idleMs, totalMs, requestsPerSecond, turn, session, allowPrivate, nameServers, upstreamProxy } = egress;
  const kept = createEgressAudit({ store: store.egress, clock, log, rowsPerSession: egress.auditRowsPerSession });
  const audit = createToldAudit(kept, { tell, clock });
  const httpFallback = await fileCredentials(config);
  const resolve = createDnsResolve(nameServers.length === 0 ? undefined : nameServers);
  const checked = { clock, resolve, isDenied: deniedBut(allowPrivate), proxies: createProxies(upstreamProxy) };
  const openAgents = (timeoutMs: number) => createCheckedAgents({ ...checked, timeoutMs });
  const { keys, validateToken } = openKeys(config, deps, { openAgents, httpFallback });
  const inspection = await openInspection(config, clock, keys.http);
  const prices = await openPriceTable(config.spending.pricesFile);
  const { leaseMs, spending: settings } = config;
  const isSoleNode = !store.events.isShared;
  const accounts = createAccounts({ store, prices, clock, log, nodeId, isSoleNode, leaseMs, settings, approvals });
  const policies = createPolicySource({ store, clock, log, pollMs: egress.pollMs });
  // Beside the tunnels there are the model calls, and connections that are kept open between requests.
  const limits = { maxConnections: Math.max(DEFAULT_LIMITS.maxConnections, max * 2), tunnel: { max, idleMs, totalMs }, requestsPerSecond };
  const gateway = createEgressGateway({
    providers,
    keys,
    modelIdleMs,
    clock,
    log,
    audit,
    accounts,
    mcpCredentials: createMcpCredentials(keys),
    policies,
    inspection,
    allowPrivate,
    upstreamProxy,
    limits: { ...limits, turn, session },
    resolve,
  });
  const services = createEgressGateway({
    providers: new Map(),
    keys: { find: async (asker) => (asker.agentId === null ? undefined : keys.find(asker)) },
    modelIdleMs,
    clock,
    log,
    audit: createLoggedAudit(log),
    accounts,
    allowPrivate,
    upstreamProxy,
    limits,
    resolve,
  });
  await policies.start();
  await accounts.start();
  return {
    gateway,
    services,
    audit,
    policies,
    keys,
    accounts,
    checkKey: createKeyCheck({ clock, openAgents }),
    validateToken,
    async close() {
      await policies.stop();
      await Promise.all([gateway.close(), services.close()]);
      await audit.close();
      await accounts.stop();
    },
  };
}

/** Which credential holds for whom, with the tokens that are refreshed for it. */
function openKeys(
  { providers: managed }: Config,
  { store, clock, sealer, tell }: EgressDeps,
  { openAgents, httpFallback }: { readonly openAgents: (timeoutMs: number) => UpstreamAgents; readonly httpFallback: CredentialSource },
): Pick<Egress, 'keys' | 'validateToken'> {
  const send = createSendForm(openAgents);
  const accessToken = createTokenRefresh({ store, sealer, clock, grant: createRefreshGrant(send), tell });
  return {
    keys: createCredentialResolver({ store, sealer, managed, httpFallback, now: clock.now, accessToken }),
    validateToken: createOauthValidation({ store, sealer, clock, accessToken, send }),
  };
}

/** A service has no session that its decisions could be kept with: they are in the log. */
function createLoggedAudit(log: Logger): EgressAudit {
  return {
    ...createUnkeptAudit(),
    add({ sandboxId: service, tenantId: tenant, method, host, port, outcome, reason }) {
      const told = { service, tenant, method, host, port, outcome, reason };
      if (outcome === 'allowed') log.debug(told, 'a service reached out');
      else log.info(told, 'a service could not reach out');
    },
  };
}

async function fileCredentials({ egress: { credentialsFile } }: Config): Promise<CredentialSource> {
  return credentialsFile === undefined ? { find: async () => undefined } : readCredentialsFile(credentialsFile);
}

async function openInspection(
  { dataDir, egress: { upstreamCaFile } }: Config,
  clock: Clock,
  credentials: CredentialSource,
): Promise<InspectorDeps> {
  const own =
    upstreamCaFile === undefined
      ? undefined
      : await readFile(upstreamCaFile, 'utf8').catch((cause: unknown) => {
          throw new PlatformError('config_invalid', { detail: `EGRESS_UPSTREAM_CA_FILE: ${upstreamCaFile} cannot be read.`, cause });
        });
  return {
    authority: createAuthority({ dataDir, clock }),
    credentials,
    upstreamCa: own === undefined ? undefined : [...getCACertificates('default'), own],
  };
}
