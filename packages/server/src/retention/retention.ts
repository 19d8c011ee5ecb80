import { type Clock, delay } from '../base/clock.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { AuditSeals } from '../core/audit-chain.ts';
import type { AgingSession, Store } from '../store/store.ts';

export interface RetentionSettings {
  /** Sessions that were not active for this long are removed; undefined for never. */
  readonly sessionTtlMs: number | undefined;
  /** Events of ended turns are removed when they are this old; undefined for never. */
  readonly eventMs: number | undefined;
  /** Sessions of the users of another system's API are removed after a time of their own. */
  readonly adapterTtls?: readonly { readonly adapter: string; readonly ms: number }[] | undefined;
  /** How long ended deliveries can be looked at. */
  readonly deliveryMs: number;
  /** How long the decisions of the gateway can be looked at. */
  readonly egressMs: number;
  /** How long single model calls can be looked at; undefined for good. */
  readonly callsMs?: number | undefined;
  /** Entries of the audit are sealed and removed when they are this old; undefined or left out for never. */
  readonly auditMs?: number | undefined;
}

export interface RetentionDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settings: RetentionSettings;
  /** Stops the session's sandbox and removes its files. */
  readonly release: (sessionId: string) => Promise<void>;
  /** The keys of the audit; without them nothing of it is removed. */
  readonly seals?: AuditSeals | undefined;
}

/** What is removed, as metrics and log name it; `pages` are those of the database's file. */
export const PURGE_KINDS = [
  'sessions',
  'session_rows',
  'events',
  'keys',
  'deliveries',
  'callbacks',
  'egress',
  'audit',
  'model_calls',
  'pages',
] as const;
export type PurgeKind = (typeof PURGE_KINDS)[number];

interface Purged {
  readonly kind: PurgeKind;
  readonly rows: number;
}

/** A step of a round: each time it gives way, it has made one small commit or read one small page. */
type Step = (deps: RetentionDeps) => AsyncGenerator<Purged, void>;

/** In this order; one that fails does not keep the others from being made. */
const STEPS: Readonly<Record<string, Step>> = { sessions, adapterSessions, keys, deliveries, callbacks, egress, audit, modelCalls, pages };

/** Rows in one commit, and the pause behind it in which everybody else has the database. */
const BATCH = 200;
const PAUSE_MS = 50;
const SEAL_EVERY_MS = 24 * 60 * 60 * 1000;
const ROUND_MS = 10 * 60 * 1000;
/** A session that was not made by then never will be. */
const CLAIM_MS = 60 * 60 * 1000;

export interface Retention {
  /** Makes rounds until it is aborted; one node at a time is enough. */
  run(signal: AbortSignal): Promise<void>;
  /** What this server has removed since its start. */
  purged(): ReadonlyMap<PurgeKind, number>;
}

export function createRetention(deps: RetentionDeps): Retention {
  const { clock, log } = deps;
  const totals = new Map<PurgeKind, number>(PURGE_KINDS.map((kind) => [kind, 0]));

  async function makeStep(step: Step, signal: AbortSignal): Promise<void> {
    for await (const { kind, rows } of step(deps)) {
      totals.set(kind, (totals.get(kind) ?? 0) + rows);
      await delay(clock, PAUSE_MS, signal);
    }
  }

  async function makeRound(signal: AbortSignal): Promise<void> {
    const before = new Map(totals);
    for (const [name, step] of Object.entries(STEPS)) {
      try {
        await makeStep(step, signal);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, step: name }, 'what is kept no longer could not all be removed; the next round tries again');
      }
    }
    const removed = [...totals].map(([kind, count]) => [kind, count - (before.get(kind) ?? 0)] as const).filter(([, count]) => count > 0);
    if (removed.length > 0) log.info({ removed: Object.fromEntries(removed) }, 'removed what is kept no longer');
  }

  return {
    purged: () => totals,
    async run(signal) {
      while (!signal.aborted) {
        await makeRound(signal);
        // Rejects only when it is aborted.
        await delay(clock, ROUND_MS, signal).catch(() => undefined);
      }
    },
  };
}

async function* sessions(deps: RetentionDeps): AsyncGenerator<Purged, void> {
  const { store, clock, settings } = deps;
  const { sessionTtlMs, eventMs } = settings;
  if (sessionTtlMs === undefined && eventMs === undefined) return;
  for (let after = ''; ; ) {
    const page = await store.retention.sessions({ after, limit: BATCH });
    for (const session of page) {
      if (sessionTtlMs !== undefined && isOlder(session.updatedAt, sessionTtlMs, clock)) yield* removeSession(deps, session, sessionTtlMs);
      else if (session.oldestEventAt !== null && isOlder(session.oldestEventAt, eventMs, clock)) yield* cutLog(deps, session);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < BATCH) return;
    after = last.id;
    yield { kind: 'sessions', rows: 0 };
  }
}

function isOlder(at: number, ageMs: number | undefined, clock: Clock): boolean {
  return ageMs !== undefined && at < clock.now() - ageMs;
}

/**
 * First nothing can happen in it any more; then its files go, and its rows; at last itself. Broken off anywhere, the
 * next round finds it and goes on.
 */
async function* removeSession(
  { store, clock, release }: RetentionDeps,
  { tenantId, id }: Pick<AgingSession, 'tenantId' | 'id'>,
  ttlMs: number,
): AsyncGenerator<Purged, void> {
  const session = { tenantId, sessionId: id };
  const now = clock.now();
  if (!(await store.retention.condemn({ ...session, idleBefore: now - ttlMs, now }))) return;
  await release(id);
  for (let rows = BATCH; rows === BATCH; ) {
    rows = await store.retention.strip({ ...session, limit: BATCH });
    yield { kind: 'session_rows', rows };
  }
  const event = { id: newId('event'), type: 'session.deleted', payload: {}, processedAt: now };
  const isRemoved = await store.sessions.remove({ tenantId, id, event, now: clock.now() });
  yield { kind: 'sessions', rows: isRemoved ? 1 : 0 };
}

/** Looks at each once: one that cannot go yet is for the next round. */
async function* adapterSessions(deps: RetentionDeps): AsyncGenerator<Purged, void> {
  const { store, clock, settings } = deps;
  for (const { adapter, ms } of settings.adapterTtls ?? []) {
    const idle = await store.adapterSessions.idle({ adapter, before: clock.now() - ms, limit: BATCH });
    for (const { tenantId, sessionId } of idle) yield* removeSession(deps, { tenantId, id: sessionId }, ms);
  }
  for (let rows = BATCH; rows === BATCH; ) {
    rows = await store.adapterSessions.purge({ before: clock.now() - CLAIM_MS, limit: BATCH });
    yield { kind: 'session_rows', rows };
  }
}

async function* callbacks({ store, clock, settings }: RetentionDeps): AsyncGenerator<Purged, void> {
  for (let rows = BATCH; rows === BATCH; ) {
    rows = await store.callbacks.purge({ before: clock.now() - settings.deliveryMs, limit: BATCH });
    yield { kind: 'callbacks', rows };
  }
}

async function* cutLog({ store, clock, settings }: RetentionDeps, { tenantId, id }: AgingSession): AsyncGenerator<Purged, void> {
  const before = clock.now() - (settings.eventMs ?? Number.POSITIVE_INFINITY);
  for (let rows = BATCH; rows === BATCH; ) {
    rows = await store.retention.cut({ tenantId, sessionId: id, before, limit: BATCH });
    yield { kind: 'events', rows };
  }
}

async function* keys({ store }: RetentionDeps): AsyncGenerator<Purged, void> {
  for (let rows = BATCH; rows === BATCH; ) {
    rows = await store.retention.forgetKeys({ limit: BATCH });
    yield { kind: 'keys', rows };
  }
}

async function* deliveries({ store, clock, settings }: RetentionDeps): AsyncGenerator<Purged, void> {
  for (let rows = BATCH; rows === BATCH; ) {
    rows = await store.outbox.purge({ endedBefore: clock.now() - settings.deliveryMs, limit: BATCH });
    yield { kind: 'deliveries', rows };
  }
}

async function* egress({ store, clock, settings }: RetentionDeps): AsyncGenerator<Purged, void> {
  for (let rows = BATCH; rows === BATCH; ) {
    rows = await store.egress.purge({ before: clock.now() - settings.egressMs, limit: BATCH });
    yield { kind: 'egress', rows };
  }
}

/** Each time with what tells of it in the chain itself. */
async function* audit({ store, clock, settings, seals }: RetentionDeps): AsyncGenerator<Purged, void> {
  const { auditMs } = settings;
  if (auditMs === undefined || seals === undefined) return;
  const seal = seals.current;
  for (const tenantId of await store.audit.tenants()) {
    const now = clock.now();
    const entry = (through: number) => ({
      id: newId('audit'),
      at: now,
      actor: 'system',
      action: 'audit.sealed',
      subject: String(through),
      detail: null,
    });
    const last = (await store.audit.checkpoints({ tenantId })).at(-1);
    // One seal a day: each is an entry itself.
    const before = last !== undefined && last.sealedAt > now - SEAL_EVERY_MS ? 0 : now - auditMs;
    for (let rows = BATCH; rows === BATCH; ) {
      rows = await store.audit.purge({ tenantId, before, limit: BATCH, seal, entry, now });
      yield { kind: 'audit', rows };
    }
  }
}

async function* modelCalls({ store, clock, settings: { callsMs } }: RetentionDeps): AsyncGenerator<Purged, void> {
  if (callsMs === undefined) return;
  for (let rows = BATCH; rows === BATCH; ) {
    rows = await store.usage.purge({ before: clock.now() - callsMs, limit: BATCH });
    yield { kind: 'model_calls', rows };
  }
}

async function* pages({ store }: RetentionDeps): AsyncGenerator<Purged, void> {
  for (let rows = BATCH; rows === BATCH; ) {
    rows = await store.retention.freePages({ limit: BATCH });
    yield { kind: 'pages', rows };
  }
}
