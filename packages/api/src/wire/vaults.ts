import { z } from 'zod';
import { metadataPatchSchema, metadataSchema, pageQuerySchema, queryFlagSchema, remoteUrlSchema, timestampSchema } from './common.ts';
import { hostSchema } from './networking.ts';

export const KEY_PROVIDERS = ['anthropic', 'openai', 'google', 'deepseek', 'xai', 'openai-compatible'] as const;
export type KeyProvider = (typeof KEY_PROVIDERS)[number];

const displayNameSchema = z.string().trim().min(1).max(255);
const agentIdsSchema = z.array(z.string().min(1).max(128)).max(100);
const isDefaultSchema = z.boolean().describe('Every session of the tenant may use it; extension');
const agentsSchema = agentIdsSchema.describe('Every session of these agents may use it; extension');

export const vaultCreateSchema = z.strictObject({
  display_name: displayNameSchema,
  metadata: metadataSchema.optional(),
  default: isDefaultSchema.optional(),
  agent_ids: agentsSchema.optional(),
});

export const vaultUpdateSchema = z.strictObject({
  display_name: displayNameSchema.nullish(),
  metadata: metadataPatchSchema.nullish(),
  default: isDefaultSchema.optional(),
  agent_ids: agentsSchema.optional(),
});

export const vaultSchema = z.object({
  id: z.string(),
  type: z.literal('vault'),
  display_name: z.string(),
  metadata: z.record(z.string(), z.string()),
  default: isDefaultSchema,
  agent_ids: z.array(z.string()).describe('Extension'),
  created_at: timestampSchema,
  updated_at: timestampSchema,
  archived_at: timestampSchema.nullable(),
});

export const vaultDeletedSchema = z.object({ id: z.string(), type: z.literal('vault_deleted') });

export const vaultListQuerySchema = pageQuerySchema.extend({ include_archived: queryFlagSchema.optional() });

/** Printable and without a line's end: it goes into a header. */
const secretSchema = z
  .string()
  .max(16_384)
  .regex(/^[\x20-\x7e]+$/, 'visible ASCII characters')
  .describe('Write-only: no answer ever shows it');

const webUrlSchema = z
  .string()
  .max(2048)
  .refine((text) => /^https?:$/.test(URL.parse(text)?.protocol ?? ''), 'an http or https URL')
  .refine((text) => {
    const url = URL.parse(text);
    return url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  }, 'no user, query or fragment');

const baseUrlSchema = webUrlSchema.describe("Left out: the provider's own; `openai-compatible` needs one");
const credentialNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, dots, - and _')
  .describe('As rules of networks name it in `credential`');
const headerSchema = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9-]+$/, 'the name of a header');
const hostsSchema = z.array(hostSchema).min(1).max(16).describe('The only hosts it is sent to');
const templateSchema = z
  .string()
  .max(256)
  .regex(/^[\x20-\x7e]*\{secret\}[\x20-\x7e]*$/, 'text with `{secret}` in it')
  .describe('What the header says; default `Bearer {secret}`');

const providerKeyParamSchema = z.strictObject({
  type: z.literal('provider_key'),
  provider: z.enum(KEY_PROVIDERS),
  api_key: secretSchema.nullish().describe('Only an `openai-compatible` server may do without'),
  base_url: baseUrlSchema.nullish(),
});

const httpParamSchema = z.strictObject({
  type: z.literal('http'),
  name: credentialNameSchema,
  hosts: hostsSchema,
  secret: secretSchema,
  header: headerSchema.optional().describe('Default `authorization`'),
  template: templateSchema.optional(),
  username: z.string().max(256).optional().describe('For hosts that want Basic: the header is then made of both'),
});

const staticBearerParamSchema = z.strictObject({ type: z.literal('static_bearer'), mcp_server_url: webUrlSchema, token: secretSchema });

const printableSchema = z
  .string()
  .min(1)
  .max(2048)
  .regex(/^[\x20-\x7e]+$/, 'visible ASCII characters');

const tokenEndpointAuthParamSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('none') }),
  z.strictObject({ type: z.literal('client_secret_basic'), client_secret: secretSchema }),
  z.strictObject({ type: z.literal('client_secret_post'), client_secret: secretSchema }),
]);

const refreshParamSchema = z.strictObject({
  client_id: printableSchema,
  refresh_token: secretSchema,
  token_endpoint: remoteUrlSchema,
  token_endpoint_auth: tokenEndpointAuthParamSchema,
  resource: printableSchema.nullish().describe('RFC 8707'),
  scope: printableSchema.nullish().describe('Left out: what was granted at first'),
});

const refreshUpdateSchema = z.strictObject({
  refresh_token: secretSchema.nullish(),
  scope: printableSchema.nullish(),
  token_endpoint_auth: z
    .strictObject({ type: z.enum(['client_secret_basic', 'client_secret_post']), client_secret: secretSchema.nullish() })
    .optional()
    .describe('Only its secret changes'),
});

const mcpOauthParamSchema = z.strictObject({
  type: z.literal('mcp_oauth'),
  mcp_server_url: webUrlSchema,
  access_token: secretSchema,
  expires_at: timestampSchema.nullish(),
  refresh: refreshParamSchema.nullish().describe('Left out: the token holds until it runs out'),
});

/** The published kinds, of which `environment_variable` is refused by the use case, and those of our own. */
const authParamSchema = z.discriminatedUnion('type', [
  providerKeyParamSchema,
  httpParamSchema,
  staticBearerParamSchema,
  mcpOauthParamSchema,
  z.looseObject({ type: z.literal('environment_variable') }),
]);

export const credentialCreateSchema = z.strictObject({
  auth: authParamSchema,
  display_name: displayNameSchema.nullish(),
  metadata: metadataSchema.optional(),
});

const authUpdateSchema = z.discriminatedUnion('type', [
  providerKeyParamSchema.omit({ provider: true }),
  httpParamSchema
    .omit({ name: true })
    .partial()
    .extend({ type: z.literal('http') }),
  staticBearerParamSchema.omit({ mcp_server_url: true }).extend({ token: secretSchema.nullish() }),
  mcpOauthParamSchema
    .omit({ mcp_server_url: true })
    .extend({ access_token: secretSchema.nullish(), refresh: refreshUpdateSchema.nullish() }),
  z.looseObject({ type: z.literal('environment_variable') }),
]);

/** What is left out stays; what tells what the credential is for cannot be changed. */
export const credentialUpdateSchema = z.strictObject({
  auth: authUpdateSchema.optional(),
  display_name: displayNameSchema.nullish(),
  metadata: metadataPatchSchema.nullish(),
});

const refreshSchema = z.object({
  client_id: z.string(),
  token_endpoint: z.string(),
  token_endpoint_auth: z.object({ type: z.enum(['none', 'client_secret_basic', 'client_secret_post']) }),
  resource: z.string().nullable(),
  scope: z.string().nullable(),
});

const lastRefreshSchema = z.object({
  status: z.enum(['succeeded', 'failed', 'connect_error']).describe('`failed`: the token endpoint gave no token'),
  at: timestampSchema,
  message: z.string().nullable(),
});

const authSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('provider_key'), provider: z.enum(KEY_PROVIDERS), base_url: z.string().nullable() }),
  z.object({
    type: z.literal('http'),
    name: z.string(),
    hosts: z.array(z.string()),
    header: z.string(),
    template: z.string(),
    username: z.string().nullable(),
  }),
  z.object({ type: z.literal('static_bearer'), mcp_server_url: z.string() }),
  z.object({
    type: z.literal('mcp_oauth'),
    mcp_server_url: z.string(),
    expires_at: timestampSchema.nullable(),
    refresh: refreshSchema.nullable(),
    last_refresh: lastRefreshSchema.nullable().describe('How the last refresh went; extension'),
  }),
]);

export const credentialSchema = z.object({
  id: z.string(),
  type: z.literal('vault_credential'),
  vault_id: z.string(),
  display_name: z.string().nullable(),
  auth: authSchema,
  metadata: z.record(z.string(), z.string()),
  created_at: timestampSchema,
  updated_at: timestampSchema,
  archived_at: timestampSchema.nullable(),
});

export const credentialDeletedSchema = z.object({ id: z.string(), type: z.literal('vault_credential_deleted') });

export const KEY_TEST_RESULTS = ['ok', 'invalid', 'quota', 'unreachable', 'failed'] as const;

export const credentialTestSchema = z.object({
  type: z.literal('credential_test'),
  credential_id: z.string(),
  result: z
    .enum(KEY_TEST_RESULTS)
    .describe('`invalid`: the provider refuses the key; `quota`: it has nothing left; `failed`: it answered something else'),
  status: z.int().nullable().describe('HTTP status of its answer'),
  message: z.string(),
  models: z.array(z.string()).describe('Some of the models that the key reaches'),
});

const httpResponseSchema = z.object({
  status_code: z.int(),
  content_type: z.string(),
  body: z.string().describe('Without what is a secret'),
  body_truncated: z.boolean(),
});

export const credentialValidationSchema = z.object({
  type: z.literal('vault_credential_validation'),
  credential_id: z.string(),
  vault_id: z.string(),
  has_refresh_token: z.boolean(),
  status: z.enum(['valid', 'invalid', 'unknown']).describe('`unknown`: the server could not be asked, or answered something else'),
  mcp_probe: z.object({ method: z.string(), http_response: httpResponseSchema.nullable() }).nullable().describe('What failed'),
  refresh: z
    .object({
      status: z.enum(['succeeded', 'failed', 'connect_error', 'no_refresh_token']),
      http_response: httpResponseSchema.nullable().describe('Never kept here: `last_refresh` of the credential says why'),
    })
    .nullable()
    .describe('Set when the server answered 401'),
  validated_at: timestampSchema,
});

export const encryptionKeySchema = z.object({
  id: z.string(),
  type: z.literal('encryption_key'),
  current: z.boolean().describe('What is sealed now is sealed with it'),
  available: z.boolean().describe('The server that answers has it'),
  uses: z.int().describe('Records that have something sealed with it; one that nothing uses may be removed'),
  created_at: timestampSchema.nullable(),
});

export const encryptionKeyListSchema = z.object({ data: z.array(encryptionKeySchema) });
export const encryptionKeyDeletedSchema = z.object({ id: z.string(), type: z.literal('encryption_key_deleted') });
export const keyRotationSchema = z.object({
  type: z.literal('encryption_key_rotation'),
  key_id: z.string().describe('The current key'),
  new: z.boolean().describe('False when it was the current one already, and what is left of the last rotation goes on'),
});

export const providerListSchema = z.object({
  data: z.array(
    z.object({
      provider: z.string(),
      own: z.boolean().describe('A vault of the tenant has a key for it'),
      managed: z.boolean().describe("The operator's key serves the tenant"),
    }),
  ),
});

export const providerPolicySchema = z.object({
  type: z.literal('provider_policy'),
  tenant_id: z.string(),
  managed_keys: z.boolean().describe("Whether the tenant may use the operator's provider keys"),
});
export const providerPolicyUpdateSchema = z.strictObject({ managed_keys: z.boolean() });

export type VaultCreate = z.output<typeof vaultCreateSchema>;
export type VaultUpdate = z.output<typeof vaultUpdateSchema>;
export type Vault = z.infer<typeof vaultSchema>;
export type CredentialCreate = z.output<typeof credentialCreateSchema>;
export type CredentialUpdate = z.output<typeof credentialUpdateSchema>;
export type VaultCredential = z.infer<typeof credentialSchema>;
export type CredentialAuth = z.infer<typeof authSchema>;
export type CredentialTest = z.infer<typeof credentialTestSchema>;
export type CredentialValidation = z.infer<typeof credentialValidationSchema>;
export type EncryptionKeyInfo = z.infer<typeof encryptionKeySchema>;
export type KeyRotationStarted = z.infer<typeof keyRotationSchema>;
export type ProviderList = z.infer<typeof providerListSchema>;
export type ProviderPolicy = z.infer<typeof providerPolicySchema>;
