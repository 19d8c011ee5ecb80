import type { Invitation, InvitationCreateBody, InvitationWithLink, User, UserUpdate } from '@cloister/api';
import { mapPage } from '../agents/agents.ts';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { newId, newSecret } from '../base/ids.ts';
import type { Principal, Role } from '../core/access.ts';
import type { AuditActor, AuditSink } from '../core/audit.ts';
import type { InvitationRow, Page, PageInput, Store, UserRow } from '../store/store.ts';
import { actorOf, hashSecret, requireMayGrant } from './granting.ts';

/** Use cases of the people of a tenant; each in the tenant of who asks, and never beyond their own role. */
export interface People {
  get(tenantId: string, id: string): Promise<User>;
  list(tenantId: string, input: PageInput): Promise<Page<User>>;
  update(principal: Principal, id: string, body: UserUpdate): Promise<User>;
  remove(principal: Principal, id: string): Promise<void>;
  /** The answer alone has the link, below `baseUrl`: only the hash of its token is kept. */
  invite(principal: Principal, body: InvitationCreateBody, baseUrl: string, id?: string): Promise<InvitationWithLink>;
  listInvitations(tenantId: string, input: PageInput): Promise<Page<Invitation>>;
  revokeInvitation(principal: Principal, id: string): Promise<void>;
}

export interface PeopleDeps {
  readonly store: Pick<Store, 'users'>;
  readonly clock: Clock;
  readonly audit: AuditSink;
}

const HOUR_MS = 3_600_000;

export function createPeople({ store, clock, audit }: PeopleDeps): People {
  async function requireUser(tenantId: string, id: string): Promise<UserRow> {
    const row = await store.users.find({ tenantId, id });
    if (row === undefined) throw new PlatformError('user_not_found', { detail: `There is no person "${id.slice(0, 80)}".` });
    return row;
  }

  return {
    get: async (tenantId, id) => toUser(await requireUser(tenantId, id)),
    list: async (tenantId, input) => mapPage(await store.users.list({ tenantId, ...input }), toUser),
    async update(principal, id, { name, role, status }) {
      const { tenantId } = principal;
      const current = await requireUser(tenantId, id);
      requireMayGrant(principal, current.role, role ?? current.role);
      const row = await store.users.update({ tenantId, id, name, role, state: status, now: clock.now() });
      const detail = { role: row.role, status: row.state };
      await audit.record({ tenantId, actor: actorOf(principal), action: 'user.changed', subject: id, detail });
      return toUser(row);
    },
    async remove(principal, id) {
      const { tenantId } = principal;
      requireMayGrant(principal, (await requireUser(tenantId, id)).role);
      await store.users.remove({ tenantId, id, now: clock.now() });
      await audit.record({ tenantId, actor: actorOf(principal), action: 'user.removed', subject: id });
    },
    async invite(principal, body, baseUrl, id) {
      requireMayGrant(principal, body.role);
      const { tenantId } = principal;
      const lastsMs = body.expires_in_hours * HOUR_MS;
      return inviteTo({ store, clock, audit }, { tenantId, actor: actorOf(principal), ...body, lastsMs, baseUrl, id });
    },
    listInvitations: async (tenantId, input) =>
      mapPage(await store.users.listInvitations({ tenantId, now: clock.now(), ...input }), toInvitation),
    async revokeInvitation(principal, id) {
      const { tenantId } = principal;
      const missing = new PlatformError('invitation_not_found', { detail: `There is no invitation "${id.slice(0, 80)}".` });
      const row = await store.users.findInvitation({ tenantId, id });
      if (row === undefined) throw missing;
      requireMayGrant(principal, row.role);
      if (!(await store.users.revokeInvitation({ tenantId, id }))) throw missing;
      await audit.record({ tenantId, actor: actorOf(principal), action: 'invitation.revoked', subject: id });
    },
  };
}

export interface InviteInput {
  readonly tenantId: string;
  readonly actor: AuditActor;
  readonly email: string;
  readonly role: Role;
  readonly lastsMs: number;
  readonly baseUrl: string;
  readonly id?: string | undefined;
}

export async function inviteTo({ store, clock, audit }: PeopleDeps, input: InviteInput): Promise<InvitationWithLink> {
  const { tenantId, actor, email, role, lastsMs, baseUrl } = input;
  const [token, now] = [newSecret('invitation'), clock.now()];
  const row = await store.users.invite({
    tenantId,
    id: input.id ?? newId('invitation'),
    email,
    role,
    tokenHash: hashSecret(token),
    createdBy: actor,
    expiresAt: now + lastsMs,
    now,
  });
  await audit.record({ tenantId, actor, action: 'user.invited', subject: row.id, detail: { role } });
  // Behind the #, which browsers send to nobody.
  return { ...toInvitation(row), link: `${baseUrl}/dashboard/#/invitations/${token}` };
}

export function toUser(row: UserRow): User {
  return {
    id: row.id,
    type: 'user',
    email: row.email,
    name: row.name,
    role: row.role,
    status: row.state,
    has_password: row.password !== null,
    created_at: toTimestamp(row.createdAt),
    last_sign_in_at: row.lastSignInAt === null ? null : toTimestamp(row.lastSignInAt),
  };
}

function toInvitation(row: InvitationRow): Invitation {
  return {
    id: row.id,
    type: 'invitation',
    email: row.email,
    role: row.role,
    created_by: row.createdBy,
    created_at: toTimestamp(row.createdAt),
    expires_at: toTimestamp(row.expiresAt),
  };
}
