import { invariant, PlatformError } from '../../base/errors.ts';
import { ROLES } from '../../core/access.ts';
import type { InvitationRow, UserStore } from '../store.ts';
import type { Engine } from './engine.ts';
import { filtersOf, listPage } from './listing.ts';
import { get, getAs, type Query, type Row, run, type Sql } from './query.ts';
import { integer, oneOf, text } from './rows.ts';
import { insertUser } from './users.ts';

const SELECT = 'SELECT * FROM invitations';
const FIND = `${SELECT} WHERE tenant_id = :tenantId AND id = :id`;
const KNOWN = 'SELECT 1 AS found FROM users WHERE tenant_id = :tenantId AND email = :email';
const REPLACE = 'DELETE FROM invitations WHERE tenant_id = :tenantId AND email = :email';
const INSERT = `INSERT INTO invitations (tenant_id, id, email, role, token_hash, created_by, created_at, expires_at)
  VALUES (:tenantId, :id, :email, :role, :tokenHash, :createdBy, :now, :expiresAt)`;
const REMOVE = 'DELETE FROM invitations WHERE tenant_id = :tenantId AND id = :id';
const OF_ACTIVE = `FROM invitations i JOIN tenants t ON t.id = i.tenant_id AND t.state = 'active' WHERE i.expires_at > :now`;
const FOR_EMAIL = `SELECT i.* ${OF_ACTIVE} AND i.tenant_id = :tenantId AND i.email = :email`;
const BY_TOKEN: Sql = ({ forUpdate }) => `SELECT i.* ${OF_ACTIVE} AND i.token_hash = :tokenHash ${forUpdate('i')}`;

export type Invitations = Pick<
  UserStore,
  'invite' | 'listInvitations' | 'findInvitation' | 'revokeInvitation' | 'findInvitationFor' | 'accept'
>;

export function createInvitations(engine: Engine): Invitations {
  return {
    invite: (input) => engine.write(() => invite(input)),
    listInvitations: ({ tenantId, now, ...input }) =>
      engine.read(() =>
        listPage(
          {
            scope: ['invitations', tenantId],
            select: SELECT,
            filters: filtersOf({ tenantId, now }, ['tenant_id = :tenantId', 'expires_at > :now']),
            keys: [
              { column: 'created_at', as: 'created_at' },
              { column: 'id', as: 'id' },
            ],
            parse: parseInvitation,
          },
          input,
        ),
      ),
    findInvitation: ({ tenantId, id }) => engine.read(() => getAs(parseInvitation, FIND, { tenantId, id })),
    revokeInvitation: ({ tenantId, id }) =>
      engine.write(function* () {
        return (yield* run(REMOVE, { tenantId, id })) > 0;
      }),
    findInvitationFor: ({ tenantId, email, now }) => engine.read(() => getAs(parseInvitation, FOR_EMAIL, { tenantId, email, now })),
    accept: ({ tokenHash, userId, name, password, subject, now }) =>
      engine.write(function* () {
        const open = yield* getAs(parseInvitation, BY_TOKEN, { tokenHash, now });
        // Used up by whoever removes it.
        if (open === undefined || (yield* run(REMOVE, { tenantId: open.tenantId, id: open.id })) === 0)
          throw new PlatformError('invitation_invalid');
        const { tenantId, email, role } = open;
        return yield* insertUser({ tenantId, id: userId, email, name, role, password, subject, now });
      }),
  };
}

function* invite(input: Parameters<UserStore['invite']>[0]): Query<InvitationRow> {
  const { tenantId, id, email, role, tokenHash, createdBy, expiresAt, now } = input;
  if ((yield* get(KNOWN, { tenantId, email })) !== undefined) throw new PlatformError('user_exists');
  yield* run(REPLACE, { tenantId, email });
  yield* run(INSERT, { tenantId, id, email, role, tokenHash, createdBy, expiresAt, now });
  const made = yield* getAs(parseInvitation, FIND, { tenantId, id });
  invariant(made !== undefined, 'an invitation that was just written exists');
  return made;
}

function parseInvitation(row: Row): InvitationRow {
  return {
    id: text(row, 'id'),
    tenantId: text(row, 'tenant_id'),
    email: text(row, 'email'),
    role: oneOf(row, 'role', ROLES),
    tokenHash: text(row, 'token_hash'),
    createdBy: text(row, 'created_by'),
    createdAt: integer(row, 'created_at'),
    expiresAt: integer(row, 'expires_at'),
  };
}
