import { createHash } from 'node:crypto';
import type { RequestPermissionRequest } from '@agentclientprotocol/sdk';
import type { Clock } from '../base/clock.ts';
import { canonicalJson } from '../base/json.ts';
import type { AuditEntry } from '../core/audit.ts';
import { findRule, type PermissionRule } from '../core/permission-rules.ts';
import { type ToolRules, toolRule } from '../core/tools.ts';
import type { PermissionAnswer } from '../harness/acp/connection.ts';
import type { ApprovalRow, JsonObject, NewApproval, Store } from '../store/store.ts';
import { requiresAction, statusRunning } from './events.ts';
import type { Recorder } from './recorder.ts';

export interface PermissionsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly rules: ToolRules;
  /** They go before the policies of the tools. */
  readonly permissionRules?: readonly PermissionRule[] | undefined;
  /** How long a question stays open; undefined for without end. */
  readonly timeoutMs?: number | undefined;
  readonly tell?: ((entry: AuditEntry) => void) | undefined;
  /** What was allowed for the session so far. */
  readonly forSession?: readonly ApprovalRow[] | undefined;
  readonly tenantId: string;
  readonly sessionId: string;
  readonly turnId: string;
  /** Approvals of earlier attempts of this turn: each granted one lets exactly that call through once. */
  readonly earlier: readonly ApprovalRow[];
}

/** Decides on tool calls by the agent's policy, and keeps those that a person decides on until the answer is in the log. */
export interface Permissions {
  decide(request: RequestPermissionRequest): Promise<PermissionAnswer>;
  /** A question was asked about the turn's budget, or an answer was committed: passes it on to the call that waits for it. */
  refresh(): Promise<void>;
  isWaiting(): boolean;
  /** Answers all that wait with `cancelled`. */
  cancel(): void;
  /** Nothing is passed on any more: the run is over, though a question is not. */
  abandon(): void;
}

export function createPermissions(deps: PermissionsDeps): Permissions {
  const { recorder } = deps;
  const waiting = new Map<string, (answer: PermissionAnswer) => void>();
  const grants = deps.earlier
    .filter((approval) => approval.state === 'granted')
    .map((approval) => callKey(approval.toolName, approval.input));
  const forSession = new Set((deps.forSession ?? []).filter(isForSession).map(({ toolName, rule }) => coverKey(toolName, rule)));
  /** The agent's ids of the calls that were decided on. */
  const decided = new Set<string>();
  let isCancelled = false;
  /** The turn waits for an answer about its budget. */
  let isHeld = false;

  function useGrant(key: string): boolean {
    const index = grants.indexOf(key);
    if (index >= 0) grants.splice(index, 1);
    return index >= 0;
  }

  async function ask(request: RequestPermissionRequest, { name, input, rule }: AskedCall): Promise<PermissionAnswer> {
    const eventId = await recorder.logToolUse(request.toolCall, 'ask');
    const { promise, resolve } = Promise.withResolvers<PermissionAnswer>();
    waiting.set(eventId, resolve);
    const now = deps.clock.now();
    const approval = newApproval(eventId, { name, input, rule }, deps.timeoutMs === undefined ? undefined : now + deps.timeoutMs);
    await recorder.append([requiresAction([...waiting.keys()], now)], { approvals: [approval], state: 'waiting_approval' });
    tellAsked(deps, approval);
    // A cancel that came while the question was written.
    if (isCancelled) resolve({ type: 'cancelled' });
    return promise;
  }

  async function deny(request: RequestPermissionRequest, message: string): Promise<PermissionAnswer> {
    await recorder.logToolUse(request.toolCall, 'deny');
    return { type: 'deny', message };
  }

  return {
    async decide(request) {
      if (isCancelled) return { type: 'cancelled' };
      const { name, input } = recorder.toolLog.merge(request.toolCall);
      // What is asked again under one id, with whatever arguments, is another call: an answer is for what was shown.
      const { toolCallId } = request.toolCall;
      if (decided.has(toolCallId)) recorder.toolLog.renew(toolCallId);
      decided.add(toolCallId);
      const verdict = verdictOn(deps, name, input);
      if (verdict.type === 'deny') return deny(request, verdict.message);
      const isAsked = verdict.type === 'ask' && !forSession.has(coverKey(name, verdict.rule)) && !useGrant(callKey(name, input));
      if (isAsked) return ask(request, { name, input, rule: verdict.rule });
      await recorder.logToolUse(request.toolCall, 'allow');
      return { type: 'allow' };
    },
    async refresh() {
      const approvals = await deps.store.turns.approvals({ tenantId: deps.tenantId, sessionId: deps.sessionId });
      isHeld = approvals.some(({ kind, state, turnId }) => kind === 'budget' && state === 'pending' && turnId === deps.turnId);
      const answered = approvals.filter((approval) => waiting.has(approval.id) && approval.state !== 'pending');
      if (answered.length === 0) return;
      const resolvers = answered.map((approval) => ({ approval, resolve: waiting.get(approval.id) }));
      for (const { id } of answered) waiting.delete(id);
      for (const { toolName, rule } of answered.filter(isForSession)) forSession.add(coverKey(toolName, rule));
      const now = deps.clock.now();
      if (waiting.size > 0) await recorder.append([requiresAction([...waiting.keys()], now)]);
      else if (!isHeld) await recorder.append([statusRunning(now)], { state: 'running' });
      for (const { approval, resolve } of resolvers) resolve?.(toAnswer(approval));
    },
    isWaiting: () => isHeld || waiting.size > 0,
    abandon: () => {
      isHeld = false;
      waiting.clear();
    },
    cancel() {
      isCancelled = true;
      for (const resolve of waiting.values()) resolve({ type: 'cancelled' });
      waiting.clear();
    },
  };
}

type Verdict =
  | { readonly type: 'allow' }
  | { readonly type: 'ask'; readonly rule: string }
  | { readonly type: 'deny'; readonly message: string };

/** What the agent's policy says of a call, before any answer: whether the tool is there, the rules, the tool's own policy. */
function verdictOn({ rules, permissionRules = [] }: PermissionsDeps, name: string, input: JsonObject): Verdict {
  const tool = toolRule(rules, name);
  if (!tool.enabled) return { type: 'deny', message: `The tool ${name} is switched off for this agent.` };
  const found = findRule(permissionRules, name, input);
  const policy = found?.policy ?? (tool.policy === 'ask' ? 'ask' : 'always_allow');
  if (policy === 'deny') return { type: 'deny', message: `A rule of this agent denies this call of ${name}.` };
  return policy === 'ask' ? { type: 'ask', rule: found?.text ?? `the policy of ${name}` } : { type: 'allow' };
}

function newApproval(id: string, { name, input, rule }: AskedCall, expiresAt: number | undefined): AskedApproval {
  const inputHash = createHash('sha256').update(canonicalJson(input)).digest('hex');
  return { id, toolName: name, input, inputHash, rule, expiresAt };
}

function tellAsked({ tenantId, sessionId, tell }: PermissionsDeps, { id, toolName, inputHash }: AskedApproval): void {
  const detail = { kind: 'tool', tool: toolName, session: sessionId, input_hash: inputHash };
  tell?.({ tenantId, actor: 'system', action: 'approval.asked', subject: id, detail });
}

type AskedApproval = NewApproval & { readonly inputHash: string };

interface AskedCall {
  readonly name: string;
  readonly input: JsonObject;
  /** What in the policy asks. */
  readonly rule: string;
}

function isForSession({ state, scope }: ApprovalRow): boolean {
  return state === 'granted' && scope === 'session';
}

/** What an answer for the session covers: the calls of that tool that the same rule asks about. */
function coverKey(name: string, rule: string | null): string {
  return JSON.stringify([name, rule]);
}

function toAnswer(approval: ApprovalRow): PermissionAnswer {
  if (approval.state === 'granted') return { type: 'allow' };
  const isExpired = approval.state === 'expired' && approval.denyMessage !== null;
  return approval.state === 'denied' || isExpired ? { type: 'deny', message: approval.denyMessage } : { type: 'cancelled' };
}

/** A grant is bound to the exact arguments. */
function callKey(name: string, input: JsonObject): string {
  return canonicalJson([name, input]);
}
