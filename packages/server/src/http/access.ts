import type { MiddlewareHandler } from 'hono';
import { PlatformError } from '../base/errors.ts';
import { isAtLeast, type Principal, type Role } from '../core/access.ts';
import type { Store } from '../store/store.ts';
import type { AppVariables } from './context.ts';

/** What an operation asks of who wants it done. */
export interface Need {
  readonly role: Role;
  /** Only who runs the installation. */
  readonly isOperatorOnly?: boolean;
  /** Keys and people: never with a key that reaches a part of the tenant only. */
  readonly isManagement?: boolean;
  /** Open to every credential, whatever it reaches: it tells of the credential or of the API itself. */
  readonly isForAll?: boolean;
}

const MANAGEMENT: Need = { role: 'admin', isManagement: true };
const ADMIN: Need = { role: 'admin' };
const OPERATOR: Need = { role: 'owner', isOperatorOnly: true, isManagement: true };
const OWN: Need = { role: 'viewer', isForAll: true };

/** What differs from the rule that reading needs a viewer and everything else a member; the first that fits holds. */
const EXCEPTIONS: readonly (readonly [method: string, path: RegExp, need: Need])[] = [
  ['*', /^\/v1\/(me|auth)(\/|$)/, OWN],
  ['GET', /^\/(openapi\.json|v1\/status)$/, OWN],
  ['*', /^\/metrics$/, OPERATOR],
  ['*', /^\/v1\/tenants(\/|$)/, OPERATOR],
  ['*', /^\/v1\/(plans|encryption_keys)(\/|$)/, OPERATOR],
  ['*', /^\/v1\/(api_keys|users|invitations)(\/|$)/, MANAGEMENT],
  ['POST', /^\/v1\/budgets(\/|$)/, ADMIN],
  ['DELETE', /^\/v1\/budgets(\/|$)/, ADMIN],
  ['*', /^\/v1\/(vaults|audit|prices|providers)(\/|$)/, ADMIN],
];

const READ: Need = { role: 'viewer' };
const CHANGE: Need = { role: 'member' };

/** Decided by method and route group, so that a new route is covered before anybody thinks of it. */
export function needOf(method: string, path: string): Need {
  const reads = method === 'GET' || method === 'HEAD';
  const asked = reads ? 'GET' : method;
  const special = EXCEPTIONS.find(([one, pattern]) => (one === '*' || one === asked) && pattern.test(path));
  return special?.[2] ?? (reads ? READ : CHANGE);
}

/** The names that keys for some routes are made with. Undefined for what belongs to no group and no such key reaches. */
export function groupOf(path: string): string | undefined {
  const [first, second, third] = path.split('/').slice(1);
  if (first === 'v1') {
    if (second === 'chat' || second === 'responses' || second === 'models') return 'openai';
    return second === '' ? undefined : second;
  }
  if (first === 'api') return second === 'v1' && third !== undefined ? 'claude_agent_http' : 'clawhq';
  return first !== undefined && NOCLAW.has(first) ? 'noclaw' : undefined;
}

const NOCLAW: ReadonlySet<string> = new Set(['webhook', 'schedule', 'tasks', 'history', 'context', 'heartbeat']);

/** Keeps everybody to what their role and their key's scope allow, before the handler knows of the request. */
export function authorise(store: Pick<Store, 'sessions'>): MiddlewareHandler<{ Variables: AppVariables }> {
  return async (c, next) => {
    const principal = c.get('principal');
    // What is public has nobody to ask about.
    if (principal === undefined) return next();
    const { method, path } = c.req;
    const need = needOf(method, path);
    if (need.isOperatorOnly === true && !principal.isOperator) throw denied('Only who runs the installation may do this.');
    if (!isAtLeast(principal.role, need.role)) throw denied(`This needs the role ${need.role}; yours is ${principal.role}.`);
    if (need.isForAll !== true) await requireReach(store, principal, need, method, path);
    return next();
  };
}

async function requireReach(
  store: Pick<Store, 'sessions'>,
  { scope, tenantId }: Principal,
  need: Need,
  method: string,
  path: string,
): Promise<void> {
  if (scope.type === 'tenant') return;
  if (need.isManagement === true) throw denied('A key for a part of the tenant manages no keys and no people.');
  if (scope.type === 'routes') {
    const group = groupOf(path);
    if (group === undefined || !scope.groups.includes(group)) throw denied('The key is not for this group of routes.');
    return;
  }
  await requireOwnAgent(store, { tenantId, agentId: scope.agentId }, method, path);
}

const ENVIRONMENTS = /^\/v1\/environments(\/[^/]+)?$/;
const ONE_AGENT = /^\/v1\/agents\/([^/]+)(\/versions)?$/;
const ONE_SESSION = /^\/v1\/sessions\/([^/]+)(\/|$)/;

/**
 * A key of one agent reads that agent and its environments, and does everything with its sessions; the handlers of
 * `/v1/sessions` see to creation and listing. Everything else is closed to it, also what is added later.
 */
async function requireOwnAgent(
  store: Pick<Store, 'sessions'>,
  { tenantId, agentId }: { readonly tenantId: string; readonly agentId: string },
  method: string,
  path: string,
): Promise<void> {
  const reads = method === 'GET' || method === 'HEAD';
  if (path === '/v1/sessions' || (reads && ENVIRONMENTS.test(path))) return;
  const agent = reads ? ONE_AGENT.exec(path)?.[1] : undefined;
  if (agent !== undefined) {
    const id = decoded(agent);
    if (id === agentId) return;
    throw new PlatformError('agent_not_found', { detail: `There is no agent "${id.slice(0, 80)}".` });
  }
  const session = ONE_SESSION.exec(path)?.[1];
  if (session === undefined) throw denied('The key is for one agent and its sessions.');
  const id = decoded(session);
  // A session of another agent is answered as one that there is not, before anything else is looked at.
  if ((await store.sessions.find({ tenantId, id }))?.agentId !== agentId)
    throw new PlatformError('session_not_found', { detail: `There is no session "${id.slice(0, 80)}".` });
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // The router leaves such a part as it is, too.
    return part;
  }
}

/** The agent that a key is bound to; undefined for whoever reaches more. */
export function boundAgent(principal: Principal): string | undefined {
  return principal.scope.type === 'agent' ? principal.scope.agentId : undefined;
}

/** Throws as for an agent that there is not. */
export function requireBoundAgent(principal: Principal, agentId: string): void {
  const own = boundAgent(principal);
  if (own !== undefined && own !== agentId)
    throw new PlatformError('agent_not_found', { detail: `There is no agent "${agentId.slice(0, 80)}".` });
}

function denied(detail: string): PlatformError {
  return new PlatformError('permission_denied', { detail });
}
