import { createHash } from 'node:crypto';
import { PlatformError } from '../base/errors.ts';
import { isAtLeast, type KeyScope, type Principal, type Role } from '../core/access.ts';
import type { AuditActor } from '../core/audit.ts';

/** Secrets of 256 random bits need no slow hash. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function actorOf({ kind, id }: Principal): AuditActor {
  return `${kind}:${id}`;
}

/** Nobody gives or takes a role that is above their own. */
export function requireMayGrant(principal: Principal, ...roles: readonly Role[]): void {
  const above = roles.find((role) => !isAtLeast(principal.role, role));
  if (above !== undefined)
    throw new PlatformError('permission_denied', { detail: `The role ${above} is above yours, which is ${principal.role}.` });
}

/** A scope as it goes over the wire. */
export type WireScope = { type: 'tenant' } | { type: 'agent'; agent_id: string } | { type: 'routes'; groups: string[] };

export function toWireScope(scope: KeyScope): WireScope {
  if (scope.type === 'agent') return { type: 'agent', agent_id: scope.agentId };
  return scope.type === 'routes' ? { type: 'routes', groups: [...scope.groups] } : { type: 'tenant' };
}

export function fromWireScope(scope: WireScope): KeyScope {
  if (scope.type === 'agent') return { type: 'agent', agentId: scope.agent_id };
  return scope.type === 'routes' ? { type: 'routes', groups: [...new Set(scope.groups)] } : { type: 'tenant' };
}
