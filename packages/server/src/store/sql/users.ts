import { invariant, PlatformError } from '../../base/errors.ts';
import { ROLES } from '../../core/access.ts';
import { TENANT_STATES, USER_STATES, type UserOfTenant, type UserRow, type UserStore } from '../store.ts';
import type { Engine } from './engine.ts';
import type { Invitations } from './invitations.ts';
import { filtersOf, listPage } from './listing.ts';
import { allAs, get, getAs, type Query, type Row, run } from './query.ts';
import { integer, oneOf, optionalInteger, optionalText, text } from './rows.ts';
import { holdTenant } from './tenants.ts';

const SELECT = 'SELECT * FROM users';
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND id = :id`;
const BY_EMAIL = `SELECT u.*, t.state AS tenant_state FROM users u JOIN tenants t ON t.id = u.tenant_id
  WHERE u.email = :email ORDER BY u.created_at LIMIT :limit`;
const BY_SUBJECT = `${SELECT} WHERE tenant_id = :tenantId AND subject = :subject`;
const TAKEN = 'SELECT 1 AS found FROM users WHERE tenant_id = :tenantId AND (email = :email OR subject = :subject)';
const INSERT = `INSERT INTO users (tenant_id, id, email, name, role, password, subject, created_at, updated_at)
  VALUES (:tenantId, :id, :email, :name, :role, :password, :subject, :now, :now) ON CONFLICT DO NOTHING`;
const UPDATE = `UPDATE users SET name = :name, role = :role, state = :state, password = :password, subject = :subject, updated_at = :now
  WHERE tenant_id = :tenantId AND id = :id`;
const REMOVE = 'DELETE FROM users WHERE tenant_id = :tenantId AND id = :id';
const OWNERS = `SELECT
    (SELECT count(*) FROM users WHERE tenant_id = :tenantId AND role = 'owner' AND state = 'active' AND id <> :id) +
    (SELECT count(*) FROM api_keys WHERE tenant_id = :tenantId AND role = 'owner' AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > :now)) AS number`;
const SIGN_IN = `INSERT INTO sign_ins (tenant_id, id, user_id, hash, created_at, expires_at)
  VALUES (:tenantId, :id, :userId, :hash, :now, :expiresAt)`;
const NOTE_SIGN_IN = 'UPDATE users SET last_sign_in_at = :now WHERE tenant_id = :tenantId AND id = :userId';
const SIGNED_IN = `SELECT u.*, t.state AS tenant_state, s.id AS sign_in_id, s.expires_at AS sign_in_expires_at
  FROM sign_ins s JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id JOIN tenants t ON t.id = s.tenant_id
  WHERE s.hash = :hash AND s.expires_at > :now`;
const END_ONE = 'DELETE FROM sign_ins WHERE tenant_id = :tenantId AND user_id = :userId AND id = :id';
const END_ALL = 'DELETE FROM sign_ins WHERE tenant_id = :tenantId AND user_id = :userId';
const END_OTHERS = `${END_ALL} AND id <> :keep`;
const FORGET_SIGN_INS = `DELETE FROM sign_ins WHERE hash IN (SELECT hash FROM sign_ins WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)`;
const FORGET_INVITATIONS = `DELETE FROM invitations WHERE token_hash IN
  (SELECT token_hash FROM invitations WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)`;

interface UserId {
  readonly tenantId: string;
  readonly id: string;
}

export function createUserStore(engine: Engine): Omit<UserStore, keyof Invitations> {
  return {
    create: (input) => engine.write(() => insertUser(input)),
    find: ({ tenantId, id }) => engine.read(() => getAs(parseUser, FIND, { tenantId, id })),
    findByEmail: ({ email, limit }) => engine.read(() => allAs(parseWithTenant, BY_EMAIL, { email, limit })),
    findBySubject: ({ tenantId, subject }) => engine.read(() => getAs(parseUser, BY_SUBJECT, { tenantId, subject })),
    list: ({ tenantId, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['users', tenantId],
            select: SELECT,
            filters: filtersOf({ tenantId }, ['tenant_id = :tenantId']),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseUser,
          },
          input,
        ),
      ),
    update: (input) => engine.write(() => update(input)),
    remove: ({ tenantId, id, now }) =>
      engine.write(function* () {
        yield* holdTenant(tenantId);
        const current = yield* requireUser({ tenantId, id });
        if (isOwner(current)) yield* requireAnotherOwner({ tenantId, id }, now);
        yield* run(END_ALL, { tenantId, userId: id });
        yield* run(REMOVE, { tenantId, id });
      }),
    signIn: ({ tenantId, id, userId, hash, expiresAt, now }) =>
      engine.write(function* () {
        yield* run(SIGN_IN, { tenantId, id, userId, hash, expiresAt, now });
        yield* run(NOTE_SIGN_IN, { tenantId, userId, now });
      }),
    findSignIn: ({ hash, now }) =>
      engine.read(() =>
        getAs(
          (row) => ({
            id: text(row, 'sign_in_id'),
            user: parseUser(row),
            tenantState: oneOf(row, 'tenant_state', TENANT_STATES),
            expiresAt: integer(row, 'sign_in_expires_at'),
          }),
          SIGNED_IN,
          { hash, now },
        ),
      ),
    endSignIns: ({ tenantId, userId, id }) =>
      engine.write(() => (id === undefined ? run(END_ALL, { tenantId, userId }) : run(END_ONE, { tenantId, userId, id }))),
    forgetExpired: ({ now, limit }) =>
      engine.write(function* () {
        const ended = yield* run(FORGET_SIGN_INS, { now, limit });
        return ended + (ended < limit ? yield* run(FORGET_INVITATIONS, { now, limit: limit - ended }) : 0);
      }),
  };
}

/** Asked before as well as by the insert itself: a statement that fails would end the transaction on PostgreSQL. */
export function* insertUser(input: Parameters<UserStore['create']>[0]): Query<UserRow> {
  const { tenantId, id, email, name, role, password, subject, now } = input;
  const taken = yield* get(TAKEN, { tenantId, email, subject: subject ?? '' });
  const isMade = taken === undefined && (yield* run(INSERT, { tenantId, id, email, name, role, password, subject, now })) > 0;
  if (!isMade) throw new PlatformError('user_exists');
  return yield* requireUser({ tenantId, id });
}

function* update({ tenantId, id, now, keepSignIn, ...input }: Parameters<UserStore['update']>[0]): Query<UserRow> {
  yield* holdTenant(tenantId);
  const current = yield* requireUser({ tenantId, id });
  const next = {
    name: input.name ?? current.name,
    role: input.role ?? current.role,
    state: input.state ?? current.state,
    password: input.password ?? current.password,
    subject: input.subject ?? current.subject,
  };
  if (isOwner(current) && !isOwner(next)) yield* requireAnotherOwner({ tenantId, id }, now);
  yield* run(UPDATE, { tenantId, id, now, ...next });
  if (input.password !== undefined || next.state !== current.state)
    yield* keepSignIn === undefined ? run(END_ALL, { tenantId, userId: id }) : run(END_OTHERS, { tenantId, userId: id, keep: keepSignIn });
  return yield* requireUser({ tenantId, id });
}

function isOwner({ role, state }: Pick<UserRow, 'role' | 'state'>): boolean {
  return role === 'owner' && state === 'active';
}

function* requireAnotherOwner({ tenantId, id }: UserId, now: number): Query<void> {
  const others = yield* get(OWNERS, { tenantId, id, now });
  invariant(others !== undefined, 'a count has a row');
  if (integer(others, 'number') === 0) throw new PlatformError('last_owner');
}

function* requireUser({ tenantId, id }: UserId): Query<UserRow> {
  const row = yield* getAs(parseUser, FIND, { tenantId, id });
  if (row === undefined) throw new PlatformError('user_not_found', { detail: `There is no person "${id.slice(0, 80)}".` });
  return row;
}

function parseWithTenant(row: Row): UserOfTenant {
  return { user: parseUser(row), tenantState: oneOf(row, 'tenant_state', TENANT_STATES) };
}

function parseUser(row: Row): UserRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    email: text(row, 'email'),
    name: text(row, 'name'),
    role: oneOf(row, 'role', ROLES),
    state: oneOf(row, 'state', USER_STATES),
    password: optionalText(row, 'password'),
    subject: optionalText(row, 'subject'),
    createdAt: integer(row, 'created_at'),
    updatedAt: integer(row, 'updated_at'),
    lastSignInAt: optionalInteger(row, 'last_sign_in_at'),
  };
}
