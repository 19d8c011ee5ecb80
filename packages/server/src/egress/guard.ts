import type { ProblemCode } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { isPlatformError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { TokenBuckets } from '../base/token-buckets.ts';
import type { EgressOutcome, EgressUsage, EgressWay } from '../store/store.ts';
import type { EgressAudit } from './audit.ts';
import type { NetworkPolicy } from './gateway.ts';
import { createHostPolicy, type HostPolicy, type Target, type Verdict } from './host-policy.ts';
import type { GatewayLimits } from './limits.ts';

export interface Ask {
  readonly way: EgressWay;
  readonly method: string;
  /** Undefined when what was asked for is no address. */
  readonly target: Target | undefined;
  /** Without the query; undefined for a tunnel. */
  readonly path?: string | undefined;
  /** The agent's definition itself names it as an MCP server: what the agent narrows is not asked, only the environment. */
  readonly isDeclared?: boolean | undefined;
}

export interface Refusal {
  readonly code: ProblemCode;
  readonly detail: string;
}

/** Why an open connection was ended by the gateway. */
export type StopReason = 'policy' | 'byte_budget' | 'idle' | 'total_time' | 'closed';

/** A connection that was allowed, until it is over. */
export interface Visit {
  readonly target: Target;
  /** Name of the credential that goes into the request. */
  readonly credential: string | undefined;
  /** The host was reached, at this address. */
  connected(address: string): void;
  /** The host was not reached. Answers what to tell the sandbox. */
  failed(error: unknown): Refusal;
  count(direction: 'up' | 'down', bytes: number): void;
  /** It is over; later calls change nothing. */
  end(ending: string): void;
}

export type Answer =
  | { readonly type: 'refused'; readonly refusal: Refusal }
  | { readonly type: 'inspect'; readonly target: Target }
  | { readonly type: 'visit'; readonly visit: Visit };

/** Decides for one sandbox what it may reach, counts what it uses, and has every decision kept. */
export interface Guard {
  isAssigned(): boolean;
  /** It decides for this session from now on, which has used so much before. */
  assign(sessionId: string, used: EgressUsage): void;
  /** `stop` is called when the connection must end before it does so itself. */
  ask(ask: Ask, stop: (reason: StopReason) => void): Answer;
  /** Refuses what never came so far as to be asked about. */
  refuse(ask: Ask, reason: string, refusal: Refusal): Refusal;
  /** From now on these policies hold; connections that they do not allow end. */
  apply(policies: readonly NetworkPolicy[]): void;
  beginTurn(): void;
  close(): void;
}

export interface GuardOptions {
  readonly sandboxId: string;
  readonly tenantId: string;
  /** Undefined for a sandbox that is no session's yet: all is refused. */
  readonly sessionId: string | undefined;
  readonly policies: readonly NetworkPolicy[];
  /** What the session has used before. */
  readonly used: EgressUsage;
  readonly limits: GatewayLimits;
  readonly buckets: TokenBuckets | undefined;
  readonly audit: EgressAudit;
  readonly clock: Clock;
  readonly log: Logger;
}

interface OpenVisit {
  readonly ask: Ask & { readonly target: Target };
  readonly stop: (reason: StopReason) => void;
}

type Used = { -readonly [K in keyof EgressUsage]: EgressUsage[K] };

interface State {
  readonly options: GuardOptions;
  readonly open: Set<OpenVisit>;
  readonly session: Used;
  readonly turn: Used;
  policy: HostPolicy;
  /** For the MCP servers that the agent declares. */
  declared: HostPolicy;
  sessionId: string | undefined;
}

/** What a sandbox is told that asks for anything before it is given to a session. */
export const UNASSIGNED = 'This sandbox belongs to no session yet; until then it reaches nothing.';

export function createGuard(options: GuardOptions): Guard {
  const state: State = {
    options,
    open: new Set(),
    session: { ...options.used },
    turn: { requests: 0, bytes: 0 },
    policy: createHostPolicy(options.policies),
    declared: declaredPolicy(options.policies),
    sessionId: options.sessionId,
  };
  return {
    ask: (ask, stop) => decide(state, ask, stop),
    isAssigned: () => state.sessionId !== undefined,
    assign(sessionId, used) {
      state.sessionId = sessionId;
      Object.assign(state.session, used);
    },
    refuse: (ask, reason, refusal) => refuse(state, ask, reason, refusal),
    apply(policies) {
      state.policy = createHostPolicy(policies);
      state.declared = declaredPolicy(policies);
      for (const visit of state.open) if (verdictOn(state, visit.ask).type !== 'allowed') visit.stop('policy');
    },
    beginTurn() {
      state.turn.requests = 0;
      state.turn.bytes = 0;
    },
    close() {
      for (const visit of state.open) visit.stop('closed');
    },
  };
}

const DECLARED: HostPolicy = () => ({ type: 'allowed', credential: undefined });

/** An agent's own word names its servers, so it does not narrow them; the environment's, which comes first, has to allow them. */
function declaredPolicy([environment]: readonly NetworkPolicy[]): HostPolicy {
  if (environment?.allowsMcpServers === true) return DECLARED;
  const named = createHostPolicy(environment === undefined ? [] : [environment]);
  return (request) => {
    const verdict = named(request);
    if (verdict.type !== 'denied') return DECLARED(request);
    const detail = `${verdict.detail} An MCP server of the agent is reached where the networking of its environment is limited with allow_mcp_servers, or lists its host.`;
    return { ...verdict, detail };
  };
}

function verdictOn(state: State, { target, method, path, isDeclared }: OpenVisit['ask']): Verdict {
  return (isDeclared === true ? state.declared : state.policy)({ target, method, path });
}

function decide(state: State, ask: Ask, stop: OpenVisit['stop']): Answer {
  const { options } = state;
  const refused = (reason: string, refusal: Refusal): Answer => ({ type: 'refused', refusal: refuse(state, ask, reason, refusal) });
  if (state.sessionId === undefined) return refused('unassigned', { code: 'egress_denied', detail: UNASSIGNED });
  if (options.buckets?.take(options.sandboxId).isTaken === false) {
    const detail = `This sandbox asks for more than ${options.limits.requestsPerSecond} connections a second; wait a little.`;
    return refused('rate', { code: 'rate_limited', detail });
  }
  const { target } = ask;
  if (target === undefined) return refused('malformed', { code: 'request_invalid', detail: 'The address is not of the form host:port.' });
  const verdict = verdictOn(state, { ...ask, target });
  if (verdict.type === 'denied') return refused(verdict.reason, { code: 'egress_denied', detail: verdict.detail });
  const hindered = hindrance(state);
  if (hindered !== undefined) return refused(hindered.reason, hindered.refusal);
  if (verdict.type === 'inspect') return { type: 'inspect', target };
  return { type: 'visit', visit: openVisit(state, { ask: { ...ask, target }, stop, sessionId: state.sessionId }, verdict.credential) };
}

/** What stands against it apart from the policy. */
function hindrance({
  options: { limits },
  open,
  turn,
  session,
}: State): { readonly reason: string; readonly refusal: Refusal } | undefined {
  if (open.size >= limits.tunnel.max) {
    const detail = `This sandbox has ${open.size} connections to other hosts open, and more are not allowed.`;
    return { reason: 'connections', refusal: { code: 'capacity_exhausted', detail } };
  }
  const exhausted = exhaustedBudget(limits, turn, session);
  if (exhausted === undefined) return undefined;
  return { reason: `${exhausted.what}_budget`, refusal: { code: 'egress_budget_exhausted', detail: exhausted.detail } };
}

/** Has the decision kept; answers the record's id. */
function keep({ options, sessionId }: State, ask: Ask, outcome: EgressOutcome, reason: string, address: string | null = null): string {
  const { sandboxId, tenantId, audit, clock } = options;
  const id = newId('egress');
  // The record is a session's; what a sandbox asks for before it has one stands in the log alone.
  if (sessionId === undefined) return id;
  const now = clock.now();
  audit.add({
    id,
    tenantId,
    sessionId,
    sandboxId,
    way: ask.way,
    method: ask.method.slice(0, 20),
    host: ask.target?.host.slice(0, 253) ?? '',
    port: ask.target?.port ?? 0,
    address,
    outcome,
    reason,
    times: 1,
    bytesUp: 0,
    bytesDown: 0,
    ending: null,
    createdAt: now,
    endedAt: outcome === 'allowed' ? null : now,
  });
  return id;
}

function refuse(state: State, ask: Ask, reason: string, refusal: Refusal, outcome: EgressOutcome = 'denied'): Refusal {
  keep(state, ask, outcome, reason);
  state.options.log.info({ way: ask.way, host: ask.target?.host, port: ask.target?.port, reason }, 'egress refused');
  return refusal;
}

function openVisit(state: State, visit: OpenVisit & { readonly sessionId: string }, credential: string | undefined): Visit {
  const { options, open, turn, session } = state;
  const { tenantId, limits, audit, clock } = options;
  const { sessionId } = visit;
  const { ask } = visit;
  const bytes = { up: 0, down: 0 };
  let recordId: string | undefined;
  let isOver = false;
  open.add(visit);
  for (const used of [turn, session]) used.requests++;
  audit.use({ tenantId, sessionId }, { requests: 1, bytes: 0 });
  const leave = () => {
    isOver = true;
    open.delete(visit);
  };
  return {
    target: ask.target,
    credential,
    connected(address) {
      recordId = keep(state, ask, 'allowed', ask.isDeclared === true ? 'mcp_server' : 'listed', address);
    },
    failed(error) {
      leave();
      const { outcome, reason, refusal } = failureOf(options, ask.target, error);
      if (recordId === undefined) return refuse(state, ask, reason, refusal, outcome);
      audit.end({ tenantId, sessionId, id: recordId, bytesUp: bytes.up, bytesDown: bytes.down, ending: reason, endedAt: clock.now() });
      return refusal;
    },
    count(direction, count) {
      bytes[direction] += count;
      for (const used of [turn, session]) used.bytes += count;
      audit.use({ tenantId, sessionId }, { requests: 0, bytes: count });
      if (!isOver && exhaustedBudget(limits, turn, session)?.what === 'byte') visit.stop('byte_budget');
    },
    end(ending) {
      if (isOver) return;
      leave();
      if (recordId === undefined) return void keep(state, ask, 'failed', ending);
      audit.end({ tenantId, sessionId, id: recordId, bytesUp: bytes.up, bytesDown: bytes.down, ending, endedAt: clock.now() });
    },
  };
}

interface Failure {
  readonly outcome: EgressOutcome;
  readonly reason: string;
  readonly refusal: Refusal;
}

function failureOf({ log }: GuardOptions, { host, port }: Target, error: unknown): Failure {
  if (isPlatformError(error, 'egress_denied'))
    return { outcome: 'denied', reason: 'address', refusal: { code: error.code, detail: error.detail } };
  const known = isPlatformError(error) ? error : undefined;
  if (known === undefined) log.info({ err: error, host }, 'a connection to a host broke off');
  const detail = known?.detail ?? `${host}:${port} broke off the connection.`;
  return { outcome: 'failed', reason: 'unreachable', refusal: { code: known?.code ?? 'egress_unreachable', detail } };
}

function exhaustedBudget(
  limits: GatewayLimits,
  turn: EgressUsage,
  session: EgressUsage,
): { readonly what: 'byte' | 'request'; readonly detail: string } | undefined {
  for (const [name, budget, used] of [
    ['turn', limits.turn, turn],
    ['session', limits.session, session],
  ] as const) {
    if (budget.bytes !== undefined && used.bytes >= budget.bytes)
      return { what: 'byte', detail: `This ${name} may move ${budget.bytes} bytes over the network, and has.` };
    if (budget.requests !== undefined && used.requests >= budget.requests)
      return { what: 'request', detail: `This ${name} may make ${budget.requests} requests over the network, and has.` };
  }
  return undefined;
}
