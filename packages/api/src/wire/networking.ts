import { z } from 'zod';

export const hostSchema = z
  .string()
  .max(253)
  .regex(
    /^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:\d{1,5})?$/i,
    'a host name, `*.example.org` or `host:port`',
  );
const methodSchema = z.string().regex(/^[A-Z]{1,20}$/, 'an HTTP method in capitals, such as `GET`');
/** Without escapes, so that a prefix means what it says. */
const pathPrefixSchema = z
  .string()
  .max(512)
  .regex(/^\/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/, 'a path that begins with `/`, without escapes, query or fragment');

/** What is allowed of one host. Left out, a list limits nothing. */
export const networkRuleParamSchema = z.strictObject({
  host: hostSchema,
  methods: z
    .array(methodSchema)
    .min(1)
    .max(32)
    .nullish()
    .describe('`GET` includes `HEAD`; `CONNECT` allows tunnels, which nobody looks into. Left out: every method, and tunnels'),
  paths: z.array(pathPrefixSchema).min(1).max(64).nullish().describe('Prefixes of paths; with them, no tunnel goes through unread'),
  inspect: z.boolean().nullish().describe('Look into TLS to this host, so that methods and paths hold there too'),
  credential: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, 'the name of a credential')
    .nullish()
    .describe('Name of a credential that the gateway puts into requests to this host; TLS to it is looked into'),
});

const limitedParamShape = {
  type: z.literal('limited'),
  allowed_hosts: z.array(hostSchema).max(256).nullish(),
  rules: z.array(networkRuleParamSchema).max(256).nullish().describe('Hosts of which only some is allowed; extension'),
};

export const networkingParamSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('none') }),
  z.strictObject({
    ...limitedParamShape,
    allow_mcp_servers: z
      .boolean()
      .nullish()
      .describe('The MCP servers that the agent declares, beyond the hosts that are listed; false when left out'),
    allow_package_managers: z.boolean().nullish(),
  }),
  z.strictObject({ type: z.literal('unrestricted') }),
]);

/** What an agent may reach of that which its environment allows. */
export const agentNetworkingParamSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('none') }),
  z.strictObject(limitedParamShape),
]);

export const networkRuleSchema = z.object({
  host: z.string(),
  methods: z.array(z.string()).nullable(),
  paths: z.array(z.string()).nullable(),
  inspect: z.boolean(),
  credential: z.string().nullable(),
});

const limitedShape = {
  type: z.literal('limited'),
  allowed_hosts: z.array(z.string()),
  // Definitions of before have none.
  rules: z.array(networkRuleSchema).default([]),
};

export const networkingSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('none') }),
  z.object({ ...limitedShape, allow_mcp_servers: z.boolean(), allow_package_managers: z.boolean() }),
  z.object({ type: z.literal('unrestricted') }),
]);

export const agentNetworkingSchema = z.discriminatedUnion('type', [z.object({ type: z.literal('none') }), z.object(limitedShape)]);

export type NetworkRuleParam = z.infer<typeof networkRuleParamSchema>;
export type NetworkRule = z.infer<typeof networkRuleSchema>;
export type AgentNetworkingParam = z.infer<typeof agentNetworkingParamSchema>;
export type AgentNetworking = z.infer<typeof agentNetworkingSchema>;

/** One entry of the operator's file of credentials. */
const egressCredentialSchema = z.strictObject({
  name: z.string().min(1).max(64),
  tenants: z.array(z.string()).min(1).default(['default']),
  hosts: z.array(z.string()).min(1),
  secret: z.string().min(8),
  header: z
    .string()
    .regex(/^[A-Za-z0-9-]+$/)
    .default('authorization'),
  template: z.string().includes('{secret}').default('Bearer {secret}'),
  /** For hosts that want a name with it: the header is then of the scheme Basic. */
  username: z.string().optional(),
});

/** The file of `EGRESS_CREDENTIALS_FILE`. */
export const egressCredentialsFileSchema = z.strictObject({ credentials: z.array(egressCredentialSchema) });
export type EgressCredential = z.infer<typeof egressCredentialSchema>;
