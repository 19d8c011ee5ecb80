import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';
import type { Clock } from './base/clock.ts';
import { PlatformError } from './base/errors.ts';
import type { Logger } from './base/log.ts';
import type { Config } from './config.ts';
import { createEgressAudit, type EgressAudit } from './egress/audit.ts';
import { createDnsResolve } from './egress/dns.ts';
import { createEgressGateway } from './egress/egress-gateway.ts';
import type { EgressGateway } from './egress/gateway.ts';
import { createAuthority } from './egress/inspection/authority.ts';
import { type CredentialSource, readCredentialsFile } from './egress/inspection/credentials.ts';
import type { InspectorDeps } from './egress/inspection/inspector.ts';
import { DEFAULT_LIMITS } from './egress/limits.ts';
import { createUnkeptAudit } from './egress/unkept-audit.ts';
import { createPolicySource, type PolicySource } from './environments/policy-source.ts';
import type { Store } from './store/store.ts';

/** The parts of the way out of the sandboxes, as the settings want them. */
export interface Egress {
  readonly gateway: EgressGateway;
  /** For services: without models and without a session's budgets. */
  readonly services: EgressGateway;
  readonly audit: EgressAudit;
  readonly policies: PolicySource;
  /** Closes the gateway, then keeps its last decisions. */
  close(): Promise<void>;
}

export interface EgressDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
}

export async function openEgress(config: Config, { store, clock, log }: EgressDeps): Promise<Egress> {
  const { egress, providers, modelIdleMs } = config;
  const { maxConnections: max, idleMs, totalMs, requestsPerSecond, turn, session, allowPrivate, nameServers } = egress;
  const audit = createEgressAudit({ store: store.egress, clock, log, rowsPerSession: egress.auditRowsPerSession });
  const inspection = await openInspection(config, clock);
  const policies = createPolicySource({ store, clock, log, pollMs: egress.pollMs });
  const resolve = createDnsResolve(nameServers.length === 0 ? undefined : nameServers);
  const gateway = createEgressGateway({
    providers,
    modelIdleMs,
    clock,
    log,
    audit,
    policies,
    inspection,
    allowPrivate,
    // Beside the tunnels there are the model calls, and connections that are kept open between requests.
    limits: {
      maxConnections: Math.max(DEFAULT_LIMITS.maxConnections, max * 2),
      tunnel: { max, idleMs, totalMs },
      requestsPerSecond,
      turn,
      session,
    },
    resolve,
  });
  const services = createEgressGateway({
    providers: new Map(),
    modelIdleMs,
    clock,
    log,
    audit: createLoggedAudit(log),
    allowPrivate,
    limits: { maxConnections: Math.max(DEFAULT_LIMITS.maxConnections, max * 2), tunnel: { max, idleMs, totalMs }, requestsPerSecond },
    resolve,
  });
  await policies.start();
  return {
    gateway,
    services,
    audit,
    policies,
    async close() {
      await policies.stop();
      await Promise.all([gateway.close(), services.close()]);
      await audit.close();
    },
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

async function openInspection({ dataDir, egress: { credentialsFile, upstreamCaFile } }: Config, clock: Clock): Promise<InspectorDeps> {
  const none: CredentialSource = { find: async () => undefined };
  const credentials = credentialsFile === undefined ? none : await readCredentialsFile(credentialsFile);
  const own =
    upstreamCaFile === undefined
      ? undefined
      : await readFile(upstreamCaFile, 'utf8').catch((cause: unknown) => {
          throw new PlatformError('config_invalid', { detail: `EGRESS_UPSTREAM_CA_FILE: ${upstreamCaFile} cannot be read.`, cause });
        });
  return {
    authority: createAuthority({ dataDir, clock }),
    credentials,
    upstreamCa: own === undefined ? undefined : [...rootCertificates, own],
  };
}
