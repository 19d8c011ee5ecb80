import type { AcceptInvitation, PasswordChange, SignIn } from '@cloister/api';
import type { Clock } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { hasRightChecksum, newId, newSecret } from '../base/ids.ts';
import type { Logger } from '../base/log.ts';
import type { Principal } from '../core/access.ts';
import type { AuditEntry, AuditSink } from '../core/audit.ts';
import type { SignInSettings } from '../core/sign-in-settings.ts';
import type { Store, UserRow } from '../store/store.ts';
import { principalOf } from './credentials.ts';
import { hashSecret } from './granting.ts';
import type { Passwords } from './passwords.ts';

/** A browser that has just been let in: the token is for its cookie, and only its hash is kept. */
export interface NewSignIn {
  readonly principal: Principal;
  readonly token: string;
  readonly lastsMs: number;
}

/** Who an identity provider says somebody is. */
export interface Identity {
  /** Issuer and subject: what stays when the address changes. */
  readonly subject: string;
  readonly email: string;
  readonly isEmailVerified: boolean;
  readonly name: string;
  /** What the provider's claim says of the tenant, where one is configured. */
  readonly tenant: string | undefined;
}

/** Use cases of people that come in and go. */
export interface SignIns {
  /** Throws `sign_in_failed`, after the same time whatever the reason, and `tenant_suspended` to who knows the password. */
  withPassword(input: SignIn): Promise<NewSignIn>;
  withIdentity(identity: Identity): Promise<NewSignIn>;
  /** Throws `invitation_invalid` and `user_exists`. */
  accept(input: AcceptInvitation): Promise<NewSignIn>;
  /** Ends all other sign-ins of the person. Throws `sign_in_failed` when the current one is wrong. */
  changePassword(principal: Principal, signInId: string, input: PasswordChange): Promise<void>;
  /** Answers how many sign-ins have ended. */
  end(principal: Principal, signInId: string | undefined): Promise<number>;
}

export interface SignInsDeps {
  readonly store: Pick<Store, 'users' | 'tenants'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly audit: AuditSink;
  readonly passwords: Passwords;
  readonly settings: SignInSettings;
}

/** With more tenants than this, who signs in has to name theirs. */
const MAX_TENANTS_TRIED = 3;

export function createSignIns(deps: SignInsDeps): SignIns {
  const { store, clock, audit, passwords, settings } = deps;

  async function open(user: UserRow, how: string): Promise<NewSignIn> {
    const [token, id, now] = [newSecret('signIn'), newId('signIn'), clock.now()];
    const { tenantId, id: userId } = user;
    await store.users.signIn({ tenantId, id, userId, hash: hashSecret(token), expiresAt: now + settings.signInMs, now });
    await audit.record({ tenantId, actor: `user:${userId}`, action: 'sign_in.succeeded', subject: userId, detail: { how } });
    return { principal: principalOf(user), token, lastsMs: settings.signInMs };
  }

  /** Not waited for: a known address must not answer later than an unknown one. */
  function tell(entry: AuditEntry): void {
    audit.record(entry).catch((error: unknown) => deps.log.warn({ err: error }, 'a failed sign-in could not be recorded'));
  }

  return {
    async withPassword({ email, password, tenant }) {
      if (!settings.passwords) throw new PlatformError('sign_in_failed', { detail: 'Nobody signs in with a password here.' });
      const known = await store.users.findByEmail({ email, limit: MAX_TENANTS_TRIED });
      const candidates = known.filter(({ user }) => tenant === undefined || user.tenantId === tenant);
      if (candidates.length === 0) await passwords.verify(password, null);
      for (const { user, tenantState } of candidates) {
        const isRight = await passwords.verify(password, user.password);
        if (!isRight || user.state !== 'active' || tenantState === 'deleting') continue;
        if (tenantState === 'suspended') throw new PlatformError('tenant_suspended');
        if (user.password !== null && passwords.isOutdated(user.password)) await renew(user, password);
        return open(user, 'password');
      }
      for (const { user } of candidates)
        tell({ tenantId: user.tenantId, actor: 'system', action: 'sign_in.failed', subject: user.id, detail: { how: 'password' } });
      throw new PlatformError('sign_in_failed');
    },
    withIdentity: async (identity) => open(await personOf(deps, identity), 'oidc'),
    async accept({ token, name, password }) {
      if (!hasRightChecksum(token)) throw new PlatformError('invitation_invalid');
      const user = await store.users.accept({
        tokenHash: hashSecret(token),
        userId: newId('user'),
        name,
        password: await passwords.hash(password),
        subject: null,
        now: clock.now(),
      });
      await audit.record({ tenantId: user.tenantId, actor: `user:${user.id}`, action: 'user.joined', subject: user.id });
      return open(user, 'invitation');
    },
    async changePassword({ tenantId, id }, signInId, { current, new: next }) {
      const user = await store.users.find({ tenantId, id });
      if (!(await passwords.verify(current, user?.password ?? null))) throw new PlatformError('sign_in_failed');
      const password = await passwords.hash(next);
      await store.users.update({ tenantId, id, password, keepSignIn: signInId, now: clock.now() });
      await audit.record({ tenantId, actor: `user:${id}`, action: 'user.changed', subject: id, detail: { password: true } });
    },
    async end({ tenantId, id }, signInId) {
      const ended = await store.users.endSignIns({ tenantId, userId: id, id: signInId });
      const detail = { everywhere: signInId === undefined };
      await audit.record({ tenantId, actor: `user:${id}`, action: 'sign_in.ended', subject: id, detail });
      return ended;
    },
  };

  async function renew({ tenantId, id }: UserRow, password: string): Promise<void> {
    await store.users.update({ tenantId, id, password: await passwords.hash(password), now: clock.now() });
  }
}

/** Whom an identity provider vouches for: somebody known, invited, or of a domain that needs no invitation. */
async function personOf({ store, clock, audit, settings }: SignInsDeps, identity: Identity): Promise<UserRow> {
  const { oidc } = settings;
  const tenantId = identity.tenant ?? oidc?.tenant;
  if (oidc === undefined || tenantId === undefined) throw new PlatformError('sign_in_refused');
  const tenant = await store.tenants.find({ id: tenantId });
  if (tenant?.state === 'suspended') throw new PlatformError('tenant_suspended');
  if (tenant?.state !== 'active') throw new PlatformError('sign_in_refused');
  const { subject, name } = identity;
  const now = clock.now();
  const known = await store.users.findBySubject({ tenantId, subject });
  if (known !== undefined) return requireActive(known);
  // From here on the address decides, and anybody can claim one that was not verified.
  if (!identity.isEmailVerified) throw new PlatformError('sign_in_refused', { detail: 'The provider has not verified your address.' });
  const email = identity.email.toLowerCase();
  const same = (await store.users.findByEmail({ email, limit: 100 })).find(({ user }) => user.tenantId === tenantId)?.user;
  // One that is bound to another account there stays with that.
  if (same !== undefined && same.subject !== null) throw new PlatformError('sign_in_refused');
  if (same !== undefined) return store.users.update({ tenantId, id: requireActive(same).id, subject, now });
  const invitation = await store.users.findInvitationFor({ tenantId, email, now });
  const isOfDomain = oidc.allowedDomains.includes(email.slice(email.lastIndexOf('@') + 1));
  if (invitation === undefined && !isOfDomain) throw new PlatformError('sign_in_refused');
  const person = { name, password: null, subject, now };
  const user =
    invitation === undefined
      ? await store.users.create({ ...person, tenantId, id: newId('user'), email, role: oidc.role })
      : await store.users.accept({ ...person, tokenHash: invitation.tokenHash, userId: newId('user') });
  await audit.record({ tenantId, actor: `user:${user.id}`, action: 'user.joined', subject: user.id, detail: { how: 'oidc' } });
  return user;
}

function requireActive(user: UserRow): UserRow {
  if (user.state !== 'active') throw new PlatformError('sign_in_refused');
  return user;
}
