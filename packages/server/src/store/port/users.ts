import type { Role } from '../../core/access.ts';
import type { Page, PageInput } from './common.ts';
import type { TenantState } from './tenants.ts';

export const USER_STATES = ['active', 'disabled'] as const;
export type UserState = (typeof USER_STATES)[number];

export interface UserRow {
  readonly id: string;
  readonly tenantId: string;
  /** In lower case; a tenant knows each once. */
  readonly email: string;
  readonly name: string;
  readonly role: Role;
  readonly state: UserState;
  /** A slow hash with its parameters; null for who signs in elsewhere only. */
  readonly password: string | null;
  /** Issuer and subject of an identity provider. */
  readonly subject: string | null;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly lastSignInAt: number | null;
}

export interface InvitationRow {
  readonly id: string;
  readonly tenantId: string;
  readonly email: string;
  readonly role: Role;
  readonly tokenHash: string;
  readonly createdBy: string;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** Somebody who is signed in, with what decides whether that counts. */
export interface SignedIn {
  readonly id: string;
  readonly user: UserRow;
  readonly tenantState: TenantState;
  readonly expiresAt: number;
}

export interface UserOfTenant {
  readonly user: UserRow;
  readonly tenantState: TenantState;
}

interface UserId {
  readonly tenantId: string;
  readonly id: string;
}

export interface UserStore {
  /** Throws `user_exists` when somebody of the tenant has the address or the subject. */
  create(input: {
    tenantId: string;
    id: string;
    email: string;
    name: string;
    role: Role;
    password: string | null;
    subject: string | null;
    now: number;
  }): Promise<UserRow>;
  find(input: UserId): Promise<UserRow | undefined>;
  /** In all tenants, the oldest first: only for signing in. */
  findByEmail(input: { email: string; limit: number }): Promise<readonly UserOfTenant[]>;
  findBySubject(input: { tenantId: string; subject: string }): Promise<UserRow | undefined>;
  list(input: { tenantId: string } & PageInput): Promise<Page<UserRow>>;
  /**
   * Replaces what is given; a new password or state ends all their sign-ins but `keepSignIn`. Throws `user_not_found`, and
   * `last_owner` when neither a person nor a key of the whole tenant would be its owner any more.
   */
  update(
    input: UserId & {
      name?: string | undefined;
      role?: Role | undefined;
      state?: UserState | undefined;
      password?: string | undefined;
      subject?: string | undefined;
      keepSignIn?: string | undefined;
      now: number;
    },
  ): Promise<UserRow>;
  /** With their sign-ins. Throws `user_not_found` and `last_owner`. */
  remove(input: UserId & { now: number }): Promise<void>;

  /** Replaces an open one for the same address of the tenant. Throws `user_exists`. */
  invite(input: Omit<InvitationRow, 'createdAt'> & { now: number }): Promise<InvitationRow>;
  listInvitations(input: { tenantId: string; now: number } & PageInput): Promise<Page<InvitationRow>>;
  findInvitation(input: UserId): Promise<InvitationRow | undefined>;
  /** False when there was none. */
  revokeInvitation(input: UserId): Promise<boolean>;
  /** An open invitation of a tenant that is active. */
  findInvitationFor(input: { tenantId: string; email: string; now: number }): Promise<InvitationRow | undefined>;
  /**
   * Makes the person of an invitation that is open, and uses it up, in one commit. Throws `invitation_invalid` and
   * `user_exists`.
   */
  accept(input: {
    tokenHash: string;
    userId: string;
    name: string;
    password: string | null;
    subject: string | null;
    now: number;
  }): Promise<UserRow>;

  signIn(input: { tenantId: string; id: string; userId: string; hash: string; expiresAt: number; now: number }): Promise<void>;
  findSignIn(input: { hash: string; now: number }): Promise<SignedIn | undefined>;
  /** One of a person's, or all of them; answers how many. */
  endSignIns(input: { tenantId: string; userId: string; id?: string | undefined }): Promise<number>;
  /** Removes what is over: sign-ins and invitations, `limit` rows at most; answers how many. */
  forgetExpired(input: { now: number; limit: number }): Promise<number>;
}
