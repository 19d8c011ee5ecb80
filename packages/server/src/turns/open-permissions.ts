import { parsePermissionRules } from '../core/permission-rules.ts';
import type { ToolRules } from '../core/tools.ts';
import type { ApprovalRow, LeasedTurn } from '../store/store.ts';
import { createPermissions, type Permissions, type PermissionsDeps } from './permissions.ts';

/** The permissions of one attempt at a turn, with what was allowed for its session before. */
export async function openPermissions(
  deps: Pick<PermissionsDeps, 'store' | 'clock' | 'recorder' | 'timeoutMs' | 'tell'>,
  { session, turn }: LeasedTurn,
  { tools, earlier }: { readonly tools: ToolRules; readonly earlier: readonly ApprovalRow[] },
): Promise<Permissions> {
  const { id: sessionId, tenantId, agent } = session;
  return createPermissions({
    ...deps,
    rules: tools,
    permissionRules: parsePermissionRules(agent.permission_rules),
    tenantId,
    sessionId,
    turnId: turn.id,
    earlier,
    forSession: await deps.store.turns.approvals({ tenantId, sessionId, state: 'granted' }),
  });
}
