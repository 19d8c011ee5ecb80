import path from 'node:path';
import { diskSchema, toBytes } from '@cloister/api';
import { isPlatformError } from './base/errors.ts';
import { rememberSecret } from './base/redaction/redaction.ts';
import { type AdapterSettings, adapterSettings } from './config/adapters.ts';
import { type AuditSettings, approvalTimeoutMs, auditSettings } from './config/audit.ts';
import { type BackupSettings, backupSettings } from './config/backup.ts';
import { type BrokerConfig, brokerConfig } from './config/broker.ts';
import { contentLimits } from './config/contents.ts';
import { egressSettings, upstreamProxy } from './config/egress.ts';
import { dockerCertPath } from './config/engine.ts';
import { type HttpLimits, httpLimits, metricsToken } from './config/http.ts';
import { type LogSettings, logSettings } from './config/log.ts';
import { providers } from './config/providers.ts';
import { type ConfigProblem, type EffectiveSetting, effectiveSettings, explaining, problemsOf } from './config/report.ts';
import { type Settings, settingsOf } from './config/schema.ts';
import { type SealingSettings, sealingSettings } from './config/sealing.ts';
import { serviceSettings } from './config/services.ts';
import { type Settled, settle } from './config/settle.ts';
import { signInSettings } from './config/sign-in.ts';
import { spendingSettings } from './config/spending.ts';
import { tracingSettings } from './config/tracing.ts';
import {
  absolutePath,
  choice,
  type Environment,
  flag,
  integer,
  invalid,
  limit,
  seconds,
  secret,
  text,
  textOr,
  times,
  words,
} from './config/values.ts';
import { parseYaml } from './config/yaml.ts';
import type { ContentLimits } from './core/content-limits.ts';
import type { EgressSettings, UpstreamProxy } from './core/egress-settings.ts';
import type { Provider } from './core/model.ts';
import type { ProviderConfig } from './core/provider-config.ts';
import type { ServiceSettings } from './core/service-settings.ts';
import type { SignInSettings } from './core/sign-in-settings.ts';
import type { SpendingSettings } from './core/spending-settings.ts';
import type { TracingSettings } from './core/tracing-settings.ts';

export type { AdapterName, AdapterSettings } from './config/adapters.ts';
export type { BrokerConfig } from './config/broker.ts';
export type { ProviderConfig } from './core/provider-config.ts';

export const RUNTIME_CHOICES = ['auto', 'docker', 'podman', 'bubblewrap', 'fake'] as const;
export const STORE_CHOICES = ['sqlite', 'postgres', 'memory'] as const;

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  /** The data directory by the path of the engine's host, for a server in a container; undefined finds it out. */
  readonly hostDataDir: string | undefined;
  readonly adminKey: string | undefined;
  readonly store: (typeof STORE_CHOICES)[number];
  /** With the store `postgres`: `postgres://…`, with the password. */
  readonly databaseUrl: string | undefined;
  readonly databasePoolSize: number;
  readonly runtime: (typeof RUNTIME_CHOICES)[number];
  /** Engine endpoint, `unix:///path` or `tcp://host:port`; undefined looks in the usual places. */
  readonly dockerHost: string | undefined;
  /** The directory of ca.pem, cert.pem and key.pem for an engine over TLS; undefined for none. */
  readonly dockerCertPath: string | undefined;
  /** Where a rootless engine has its socket: XDG_RUNTIME_DIR. */
  readonly runtimeDir: string | undefined;
  readonly sandboxImage: string | undefined;
  /** The OCI runtimes that environments may ask for; the first is for those that ask for none. Empty leaves it to the engine. */
  readonly runtimeClasses: readonly string[];
  /** The file that says what environments may mount; undefined for nothing. */
  readonly mountAllowlist: string | undefined;
  readonly defaultHarness: string | undefined;
  readonly defaultModel: string | undefined;
  readonly providers: ReadonlyMap<Provider, ProviderConfig>;
  readonly allowUnrestrictedNetwork: boolean;
  readonly maxConcurrentSandboxes: number;
  /** Turns of one tenant, and of one agent, that may run at once over all nodes; undefined for no limit. */
  readonly maxTurnsPerTenant: number | undefined;
  readonly maxTurnsPerAgent: number | undefined;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly sweepMs: number;
  readonly retryBaseMs: number;
  readonly maxTurnAttempts: number;
  /** How long after its last turn a sandbox is paused, and gives its memory back; undefined for never. */
  readonly sandboxPauseMs: number | undefined;
  readonly sandboxHibernateMs: number | undefined;
  readonly sandboxIdleMs: number;
  /** Open a session's sandbox before its first message, while there is room. */
  readonly prestartSandboxes: boolean;
  /** Sandboxes that stand ready for sessions to come, at most; 0 for none. */
  readonly warmPoolMax: number;
  /** Network namespaces kept ready for sandboxes, where that makes their start faster. */
  readonly networkHolders: number;
  readonly sandboxStartTimeoutMs: number;
  readonly turnTimeoutMs: number;
  readonly modelIdleMs: number;
  readonly maxBodyBytes: number;
  /** Bounds on what is put into a workspace from outside. */
  readonly files: { readonly maxFileBytes: number; readonly maxArchiveBytes: number };
  /** What the files of a session may take, where its environment says nothing; undefined for no limit. */
  readonly workspaceQuota: number | undefined;
  /** The most that an environment may ask for; undefined for no bound. */
  readonly workspaceQuotaMax: number | undefined;
  readonly maxQueuedPerSession: number;
  readonly maxQueuedPerTenant: number;
  readonly maxQueued: number;
  readonly http: HttpLimits;
  readonly metricsToken: string | undefined;
  /** Undefined for never. */
  readonly sessionTtlMs: number | undefined;
  readonly eventRetentionMs: number | undefined;
  readonly deliveryRetentionMs: number;
  readonly contents: ContentLimits;
  readonly egress: EgressSettings;
  readonly drainMs: number;
  readonly allowPrivateWebhooks: boolean;
  readonly services: ServiceSettings;
  readonly spending: SpendingSettings;
  readonly audit: AuditSettings;
  /** How long a question to a person stays open before it counts as denied. */
  readonly approvalTimeoutMs: number;
  readonly signIn: SignInSettings;
  readonly sealing: SealingSettings;
  readonly adapters: AdapterSettings;
  /** What the operator is told at the start: settings taken under other systems' names, and those that nothing reads. */
  readonly notes: readonly string[];
  readonly log: LogSettings;
  /** Undefined for no traces. */
  readonly tracing: TracingSettings | undefined;
  readonly backup: BackupSettings;
}

export type { Environment } from './config/values.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Reads the whole configuration once. Throws `config_invalid` naming the setting. */
export function loadConfig(given: Environment = process.env): Config {
  const settled = settle(given, knownSettings);
  return explaining(settled, () => parse(settled));
}

let known: Settings | undefined;

/** All settings there are: what the code below asks for. */
export function knownSettings(): Settings {
  known ??= settingsOf([
    () => text({}, 'CLOISTER_CONFIG'),
    () => parse({ env: {}, notes: [] }),
    () => brokerConfig({}),
    () => clientConfig({}),
  ]);
  return known;
}

/** Every setting with its value and where that comes from, and all that is wrong. */
export interface ConfigReport {
  readonly file: string | undefined;
  readonly settings: readonly EffectiveSetting[];
  readonly notes: readonly string[];
  readonly problems: readonly ConfigProblem[];
}

export function inspectConfig(given: Environment = process.env): ConfigReport {
  const problems = problemsOf(given, loadConfig);
  // What is wrong in the file itself leaves nothing to show.
  const wrong = new Set(problems.map(({ setting }) => setting));
  const readable = Object.fromEntries(Object.entries(given).filter(([name]) => !wrong.has(name)));
  const settled = settledOrNone(readable);
  const settings = settled === undefined ? [] : effectiveSettings(settled, knownSettings());
  return { file: settled?.file?.path, settings, notes: settled?.notes ?? [], problems };
}

function settledOrNone(given: Environment): Settled | undefined {
  try {
    return settle(given, knownSettings);
  } catch (error) {
    if (isPlatformError(error, 'config_invalid')) return undefined;
    throw error;
  }
}

function parse({ env, notes }: Pick<Settled, 'env' | 'notes'>): Config {
  return Object.freeze({
    host: textOr(env, 'HOST', '127.0.0.1'),
    port: integer(env, 'PORT', 3000, { min: 0, max: 65_535 }),
    dataDir: path.resolve(textOr(env, 'DATA_DIR', './data')),
    hostDataDir: absolutePath(env, 'HOST_DATA_DIR'),
    adminKey: secret(env, 'CLOISTER_ADMIN_KEY'),
    ...storeOf(env),
    runtime: choice(env, 'CLOISTER_RUNTIME', RUNTIME_CHOICES, 'auto'),
    dockerHost: text(env, 'DOCKER_HOST'),
    dockerCertPath: dockerCertPath(env),
    runtimeDir: text(env, 'XDG_RUNTIME_DIR'),
    sandboxImage: text(env, 'CLOISTER_SANDBOX_IMAGE'),
    runtimeClasses: words(env, 'CLOISTER_RUNTIME_CLASSES'),
    mountAllowlist: absolutePath(env, 'MOUNT_ALLOWLIST'),
    defaultHarness: text(env, 'CLOISTER_HARNESS'),
    defaultModel: text(env, 'CLOISTER_MODEL') ?? text(env, 'ANTHROPIC_MODEL'),
    providers: providers(env),
    allowUnrestrictedNetwork: flag(env, 'CLOISTER_ALLOW_UNRESTRICTED_NETWORK'),
    maxConcurrentSandboxes: integer(env, 'MAX_CONCURRENT_SANDBOXES', 5, { min: 1, max: 1000 }),
    maxTurnsPerTenant: limit(env, 'MAX_CONCURRENT_TURNS_PER_TENANT', { max: 100_000 }),
    maxTurnsPerAgent: limit(env, 'MAX_CONCURRENT_TURNS_PER_AGENT', { max: 100_000 }),
    ...leases(env),
    retryBaseMs: integer(env, 'RETRY_BASE_SECONDS', 5, { min: 0, max: 3600 }) * 1000,
    maxTurnAttempts: integer(env, 'MAX_TURN_ATTEMPTS', 5, { min: 1, max: 100 }),
    sandboxPauseMs: times(limit(env, 'SANDBOX_PAUSE_SECONDS', { max: 31_536_000, fallback: 30 }), 1000),
    sandboxHibernateMs: times(limit(env, 'SANDBOX_HIBERNATE_SECONDS', { max: 31_536_000, fallback: 300 }), 1000),
    prestartSandboxes: flag(env, 'PRESTART_SANDBOXES', true),
    networkHolders: integer(env, 'NETWORK_HOLDERS', 2, { min: 0, max: 50 }),
    warmPoolMax: integer(env, 'WARM_POOL_MAX', 2, { min: 0, max: 1000 }),
    sandboxIdleMs: integer(env, 'SANDBOX_IDLE_SECONDS', 1800, { min: 1, max: 31_536_000 }) * 1000,
    sandboxStartTimeoutMs: integer(env, 'SANDBOX_START_TIMEOUT_SECONDS', 60, { min: 1, max: 3600 }) * 1000,
    turnTimeoutMs: integer(env, 'TURN_TIMEOUT_SECONDS', 3600, { min: 1, max: 604_800 }) * 1000,
    modelIdleMs: integer(env, 'MODEL_IDLE_SECONDS', 120, { min: 1, max: 3600 }) * 1000,
    maxBodyBytes: integer(env, 'MAX_BODY_BYTES', 1_048_576, { min: 1024, max: 67_108_864 }),
    files: {
      maxFileBytes: integer(env, 'MAX_FILE_BYTES', 536_870_912, { min: 1024, max: 1_099_511_627_776 }),
      maxArchiveBytes: integer(env, 'MAX_ARCHIVE_BYTES', 2_147_483_648, { min: 1024, max: 1_099_511_627_776 }),
    },
    ...workspaceQuotas(env),
    maxQueuedPerSession: integer(env, 'MAX_QUEUED_PER_SESSION', 1000, { min: 1, max: 1_000_000 }),
    maxQueuedPerTenant: integer(env, 'MAX_QUEUED_PER_TENANT', 20_000, { min: 1, max: 10_000_000 }),
    maxQueued: integer(env, 'MAX_QUEUED', 100_000, { min: 1, max: 10_000_000 }),
    http: httpLimits(env),
    metricsToken: metricsToken(env),
    sessionTtlMs: times(limit(env, 'SESSION_TTL_HOURS', { max: 876_000 }), HOUR_MS),
    eventRetentionMs: times(limit(env, 'EVENT_RETENTION_DAYS', { max: 36_500 }), DAY_MS),
    deliveryRetentionMs: integer(env, 'DELIVERY_RETENTION_DAYS', 30, { min: 1, max: 36_500 }) * DAY_MS,
    contents: contentLimits(env),
    egress: egressSettings(env),
    drainMs: integer(env, 'DRAIN_SECONDS', 25, { min: 0, max: 3600 }) * 1000,
    allowPrivateWebhooks: flag(env, 'WEBHOOK_ALLOW_PRIVATE_NETWORK'),
    services: serviceSettings(env),
    spending: spendingSettings(env),
    audit: auditSettings(env),
    approvalTimeoutMs: approvalTimeoutMs(env),
    signIn: signInSettings(env),
    sealing: sealingSettings(env),
    adapters: adapterSettings(env),
    notes,
    log: logSettings(env),
    tracing: tracingSettings(env),
    backup: backupSettings(env),
  });
}

/** A URL by itself says that PostgreSQL is meant. Of the URL, which may hold a password, nothing is ever repeated. */
function storeOf(env: Environment): Pick<Config, 'store' | 'databaseUrl' | 'databasePoolSize'> {
  const databaseUrl = secret(env, 'DATABASE_URL');
  const store = choice(env, 'CLOISTER_STORE', STORE_CHOICES, databaseUrl === undefined ? 'sqlite' : 'postgres');
  if (store === 'postgres' && databaseUrl === undefined)
    throw invalid('DATABASE_URL', 'it says where the store postgres is, and is not set');
  if (databaseUrl !== undefined && !/^postgres(ql)?:$/.test(URL.parse(databaseUrl)?.protocol ?? ''))
    throw invalid('DATABASE_URL', 'it is not a postgres:// URL');
  const password = databaseUrl === undefined ? '' : (URL.parse(databaseUrl)?.password ?? '');
  for (const form of [password, decoded(password)]) rememberSecret(form, { isLasting: true });
  return { store, databaseUrl, databasePoolSize: integer(env, 'DATABASE_POOL_SIZE', 10, { min: 2, max: 1000 }) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Where `cloister db` finds the databases. */
export function loadDatabaseConfig(given: Environment = process.env): Pick<Config, 'store' | 'databaseUrl' | 'dataDir' | 'backup'> {
  const { env } = settle(given, knownSettings);
  const { store, databaseUrl } = storeOf(env);
  return { store, databaseUrl, dataDir: path.resolve(textOr(env, 'DATA_DIR', './data')), backup: backupSettings(env) };
}

/** Where `cloister logs` finds the log of this installation; undefined where it goes to stderr alone. */
export function loadLogFile(given: Environment = process.env): string | undefined {
  return logSettings(settle(given, knownSettings).env).file;
}

/** With which keys `cloister audit verify` proves. */
export function loadAuditKeys(given: Environment = process.env): string | undefined {
  return auditSettings(settle(given, knownSettings).env).keys;
}

/** For commands that need no other settings. */
export function loadUpstreamProxy(given: Environment = process.env): UpstreamProxy | undefined {
  return upstreamProxy(settle(given, knownSettings).env);
}

export function loadBrokerConfig(env: Environment = process.env): BrokerConfig {
  return brokerConfig(env);
}

/** Where the command line looks for a running server and its key. */
export function loadClientConfig(given: Environment = process.env): ClientConfig {
  return clientConfig(settle(given, knownSettings).env);
}

interface ClientConfig {
  readonly url: string;
  readonly key: string | undefined;
  readonly keyFile: string;
}

function clientConfig(env: Environment): ClientConfig {
  const host = textOr(env, 'HOST', '127.0.0.1');
  const apiKey = secret(env, 'CLOISTER_API_KEY');
  const adminKey = secret(env, 'CLOISTER_ADMIN_KEY');
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return {
    url: text(env, 'CLOISTER_URL') ?? `http://${reachable}:${integer(env, 'PORT', 3000, { min: 1, max: 65_535 })}`,
    key: apiKey ?? adminKey,
    keyFile: path.join(path.resolve(textOr(env, 'DATA_DIR', './data')), 'admin.key'),
  };
}

/** A lease that is not extended in time is lost, so there must be room for a heartbeat that fails. */
function leases(env: Environment): Pick<Config, 'leaseMs' | 'heartbeatMs' | 'sweepMs'> {
  const leaseMs = integer(env, 'LEASE_SECONDS', 30, { min: 1, max: 3600 }) * 1000;
  const heartbeatMs = seconds(env, 'HEARTBEAT_SECONDS', leaseMs / 3000) * 1000;
  if (heartbeatMs * 2 > leaseMs) throw invalid('HEARTBEAT_SECONDS', 'it may be at most half of LEASE_SECONDS');
  return { leaseMs, heartbeatMs, sweepMs: seconds(env, 'SWEEP_SECONDS', 5) * 1000 };
}

/** Where nothing is said, the most there is is what each gets. */
function workspaceQuotas(env: Environment): Pick<Config, 'workspaceQuota' | 'workspaceQuotaMax'> {
  const most = diskSize(env, 'WORKSPACE_QUOTA_MAX');
  const usual = diskSize(env, 'WORKSPACE_QUOTA');
  if (most !== undefined && usual !== undefined && usual > most) throw invalid('WORKSPACE_QUOTA', 'it is more than WORKSPACE_QUOTA_MAX');
  return { workspaceQuota: usual ?? most, workspaceQuotaMax: most };
}

/** In bytes or such as `2g`; less than this, and no filesystem is worth making. */
function diskSize(env: Environment, name: string): number | undefined {
  const given = text(env, name);
  if (given === undefined || given === '0') return undefined;
  const parsed = diskSchema.safeParse(given);
  if (!parsed.success) throw invalid(name, `"${given}" is no size from 64m to 1024g, such as 2g`);
  return toBytes(parsed.data);
}

/** A document of YAML, and so of JSON. Throws `config_invalid` when it is neither. */
export function parseDocument(source: string): unknown {
  return parseYaml(source);
}
