import { z } from 'zod';
import { nameSchema, pageQuerySchema, queryFlagSchema, timestampSchema } from './common.ts';

export const ACCESS_ROLES = ['owner', 'admin', 'member', 'viewer'] as const;

const roleSchema = z
  .enum(ACCESS_ROLES)
  .describe('`viewer` reads, `member` also changes, `admin` also manages keys, people and secrets, `owner` also other owners');

const groupSchema = z.string().regex(/^[a-z][a-z0-9_]{0,63}$/, 'the first part of a route behind /v1, such as `sessions`');

/** What a key reaches. */
const scopeSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('tenant') }),
    z.strictObject({ type: z.literal('agent'), agent_id: z.string().min(1).max(128) }),
    z.strictObject({ type: z.literal('routes'), groups: z.array(groupSchema).min(1).max(64) }),
  ])
  .describe('`tenant` reaches everything the role allows, `agent` one agent and its sessions, `routes` the groups that are named');

const emailSchema = z
  .string()
  .trim()
  .toLowerCase()
  .max(254)
  .regex(/^[^\s@,;<>"]+@[^\s@,;<>"]+\.[^\s@,;<>".]+$/, 'an email address');

/** Long enough to matter, short enough to hash. */
const newPasswordSchema = z.string().min(12, 'at least 12 characters').max(256);
const passwordSchema = z.string().min(1).max(256);

const tenantIdSchema = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'lower-case letters, digits, - and _; 63 at most');

// keys

export const apiKeyCreateSchema = z.strictObject({
  name: nameSchema,
  role: roleSchema.default('member'),
  scope: scopeSchema.default({ type: 'tenant' }),
  expires_at: timestampSchema.nullish().describe('From then on the key counts no more; left out, it stays'),
});

export const apiKeyUpdateSchema = z.strictObject({ name: nameSchema.optional(), role: roleSchema.optional() });

export const apiKeySchema = z.object({
  id: z.string(),
  type: z.literal('api_key'),
  name: z.string(),
  role: roleSchema,
  scope: scopeSchema,
  hint: z.string().describe('How the key begins and ends; empty for the first ones'),
  status: z.enum(['active', 'revoked', 'expired']),
  created_by: z.string().describe('`key:<id>`, `user:<id>` or `system`'),
  created_at: timestampSchema,
  expires_at: timestampSchema.nullable(),
  revoked_at: timestampSchema.nullable(),
  last_used_at: timestampSchema.nullable().describe('To the minute'),
});

export const apiKeyWithSecretSchema = apiKeySchema.extend({
  key: z.string().nullable().describe('Shown this once; null when the request repeats an earlier one under its Idempotency-Key'),
});

export const apiKeyListQuerySchema = pageQuerySchema.extend({ include_revoked: queryFlagSchema.optional() });

// people

export const userSchema = z.object({
  id: z.string(),
  type: z.literal('user'),
  email: z.string(),
  name: z.string(),
  role: roleSchema,
  status: z.enum(['active', 'disabled']),
  has_password: z.boolean(),
  created_at: timestampSchema,
  last_sign_in_at: timestampSchema.nullable(),
});

export const userUpdateSchema = z.strictObject({
  name: nameSchema.optional(),
  role: roleSchema.optional(),
  status: z.enum(['active', 'disabled']).optional().describe('`disabled` ends all sign-ins at once'),
});

export const userDeletedSchema = z.object({ id: z.string(), type: z.literal('user_deleted') });
export const userListQuerySchema = pageQuerySchema;

export const invitationCreateSchema = z.strictObject({
  email: emailSchema,
  role: roleSchema.default('member'),
  expires_in_hours: z.int().min(1).max(720).default(72),
});

export const invitationSchema = z.object({
  id: z.string(),
  type: z.literal('invitation'),
  email: z.string(),
  role: roleSchema,
  created_by: z.string(),
  created_at: timestampSchema,
  expires_at: timestampSchema,
});

export const invitationWithLinkSchema = invitationSchema.extend({
  link: z.string().nullable().describe('Give it to who is invited; it works once and is shown this once'),
});

export const invitationDeletedSchema = z.object({ id: z.string(), type: z.literal('invitation_deleted') });
export const invitationListQuerySchema = pageQuerySchema;

// tenants

export const tenantCreateSchema = z.strictObject({
  id: tenantIdSchema.optional().describe('Left out, one is made'),
  name: nameSchema,
  owner_email: emailSchema.nullish().describe('Invited as its owner; the answer has the link'),
});

export const tenantUpdateSchema = z.strictObject({ name: nameSchema.optional() });

export const tenantSchema = z.object({
  id: z.string(),
  type: z.literal('tenant'),
  name: z.string(),
  status: z.enum(['active', 'suspended', 'deleting']).describe('`deleting`: what it has is being removed, then itself'),
  created_at: timestampSchema,
  updated_at: timestampSchema,
});

export const tenantCreatedSchema = tenantSchema.extend({
  key: z.string().nullable().describe('A key of its owner, shown this once; null in a repeat'),
  link: z.string().nullable().describe('The invitation of its owner, if one was asked for; null in a repeat'),
});

export const tenantListQuerySchema = pageQuerySchema.extend({ status: z.enum(['active', 'suspended', 'deleting']).optional() });

// signing in

export const signInSchema = z.strictObject({
  email: emailSchema,
  password: passwordSchema,
  tenant: tenantIdSchema.optional().describe('Needed only by who has the same address and password in several tenants'),
});

export const acceptInvitationSchema = z.strictObject({
  token: z.string().min(1).max(128).describe('The end of the link, behind `#/invitations/`'),
  name: nameSchema,
  password: newPasswordSchema,
});

export const passwordChangeSchema = z.strictObject({ current: passwordSchema, new: newPasswordSchema });

/** Who the request comes from, and what they may. */
export const meSchema = z.object({
  type: z.literal('me'),
  kind: z.enum(['key', 'user']),
  id: z.string(),
  name: z.string(),
  email: z.string().nullable(),
  tenant: z.object({ id: z.string(), name: z.string() }),
  role: roleSchema,
  scope: scopeSchema,
  is_operator: z.boolean().describe('Runs the installation: may manage its tenants'),
});

export const signInMethodsSchema = z.object({
  type: z.literal('sign_in_methods'),
  password: z.boolean(),
  oidc: z.object({ start: z.string(), name: z.string() }).nullable().describe('Where the browser goes to sign in elsewhere'),
});

export const signedOutSchema = z.object({ type: z.literal('signed_out'), ended: z.int() });

export type AccessRole = (typeof ACCESS_ROLES)[number];
export type ApiKeyCreate = z.input<typeof apiKeyCreateSchema>;
export type ApiKeyCreateBody = z.output<typeof apiKeyCreateSchema>;
export type ApiKeyUpdate = z.output<typeof apiKeyUpdateSchema>;
export type ApiKey = z.infer<typeof apiKeySchema>;
export type ApiKeyWithSecret = z.infer<typeof apiKeyWithSecretSchema>;
export type User = z.infer<typeof userSchema>;
export type UserUpdate = z.output<typeof userUpdateSchema>;
export type InvitationCreate = z.input<typeof invitationCreateSchema>;
export type InvitationCreateBody = z.output<typeof invitationCreateSchema>;
export type Invitation = z.infer<typeof invitationSchema>;
export type InvitationWithLink = z.infer<typeof invitationWithLinkSchema>;
export type Tenant = z.infer<typeof tenantSchema>;
export type TenantCreate = z.output<typeof tenantCreateSchema>;
export type TenantCreated = z.infer<typeof tenantCreatedSchema>;
export type TenantUpdate = z.output<typeof tenantUpdateSchema>;
export type SignIn = z.output<typeof signInSchema>;
export type AcceptInvitation = z.output<typeof acceptInvitationSchema>;
export type PasswordChange = z.output<typeof passwordChangeSchema>;
export type Me = z.infer<typeof meSchema>;
export type SignInMethods = z.infer<typeof signInMethodsSchema>;
export type SignedOut = z.infer<typeof signedOutSchema>;
