import type { RequestPermissionRequest } from '@agentclientprotocol/sdk';
import type { Clock } from '../base/clock.ts';
import { type ToolRules, toolRule } from '../core/tools.ts';
import type { PermissionAnswer } from '../harness/acp/connection.ts';
import type { ApprovalRow, JsonObject, Store } from '../store/store.ts';
import { requiresAction, statusRunning } from './events.ts';
import type { Recorder } from './recorder.ts';

export interface PermissionsDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly recorder: Recorder;
  readonly rules: ToolRules;
  readonly tenantId: string;
  readonly sessionId: string;
  /** Approvals of earlier attempts of this turn: each granted one lets exactly that call through once. */
  readonly earlier: readonly ApprovalRow[];
}

/** Decides on tool calls by the agent's policy, and keeps those that a person decides on until the answer is in the log. */
export interface Permissions {
  decide(request: RequestPermissionRequest): Promise<PermissionAnswer>;
  /** An answer was committed: passes it on to the call that waits for it. */
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
  let isCancelled = false;

  function useGrant(key: string): boolean {
    const index = grants.indexOf(key);
    if (index >= 0) grants.splice(index, 1);
    return index >= 0;
  }

  async function ask(request: RequestPermissionRequest, name: string, input: JsonObject): Promise<PermissionAnswer> {
    const eventId = await recorder.logToolUse(request.toolCall, 'ask');
    const { promise, resolve } = Promise.withResolvers<PermissionAnswer>();
    waiting.set(eventId, resolve);
    await recorder.append([requiresAction([...waiting.keys()], deps.clock.now())], {
      approvals: [{ id: eventId, toolName: name, input }],
      state: 'waiting_approval',
    });
    // A cancel that came while the question was written.
    if (isCancelled) resolve({ type: 'cancelled' });
    return promise;
  }

  return {
    async decide(request) {
      if (isCancelled) return { type: 'cancelled' };
      const { name, input } = recorder.toolLog.merge(request.toolCall);
      const rule = toolRule(deps.rules, name);
      if (!rule.enabled) {
        await recorder.logToolUse(request.toolCall, 'deny');
        return { type: 'deny', message: `The tool ${name} is switched off for this agent.` };
      }
      if (rule.policy === 'ask' && !useGrant(callKey(name, input))) return ask(request, name, input);
      await recorder.logToolUse(request.toolCall, 'allow');
      return { type: 'allow' };
    },
    async refresh() {
      const approvals = await deps.store.turns.approvals({ tenantId: deps.tenantId, sessionId: deps.sessionId });
      const answered = approvals.filter((approval) => waiting.has(approval.id) && approval.state !== 'pending');
      if (answered.length === 0) return;
      const resolvers = answered.map((approval) => ({ approval, resolve: waiting.get(approval.id) }));
      for (const { approval } of resolvers) waiting.delete(approval.id);
      const now = deps.clock.now();
      if (waiting.size > 0) await recorder.append([requiresAction([...waiting.keys()], now)]);
      else await recorder.append([statusRunning(now)], { state: 'running' });
      for (const { approval, resolve } of resolvers) resolve?.(toAnswer(approval));
    },
    isWaiting: () => waiting.size > 0,
    abandon: () => waiting.clear(),
    cancel() {
      isCancelled = true;
      for (const resolve of waiting.values()) resolve({ type: 'cancelled' });
      waiting.clear();
    },
  };
}

function toAnswer(approval: ApprovalRow): PermissionAnswer {
  if (approval.state === 'granted') return { type: 'allow' };
  return approval.state === 'denied' ? { type: 'deny', message: approval.denyMessage } : { type: 'cancelled' };
}

/** A grant is bound to the exact arguments. */
function callKey(name: string, input: JsonObject): string {
  return JSON.stringify([name, sortKeys(input)]);
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sortKeys(inner)]),
  );
}
