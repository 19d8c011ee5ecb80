import { type ProblemDefinition, p } from './problem-kinds.ts';

/** What goes wrong with vaults, credentials and the keys they are sealed with. Part of the table in `problems.ts`. */
export const PROBLEMS_OF_SECRETS = {
  vault_not_found: p('not_found', 'never', 'There is no such vault.', 'List the vaults at GET /v1/vaults.'),
  vault_archived: p('conflict', 'never', 'The vault is archived.', 'Use another vault, or create one.'),
  vault_limit_reached: p('exhausted', 'change', 'There are as many vaults as there may be.', 'Delete vaults that nobody uses.'),
  credential_not_found: p(
    'not_found',
    'never',
    'The vault has no such credential.',
    'List the credentials at GET /v1/vaults/{id}/credentials.',
  ),
  credential_archived: p('conflict', 'never', 'The credential is archived, and its secret gone.', 'Create another credential.'),
  credential_exists: p(
    'conflict',
    'change',
    'The vault has a credential for the same provider, name or server already.',
    'Update that credential, or archive it first.',
  ),
  credential_limit_reached: p(
    'exhausted',
    'change',
    'The vault has as many credentials as it may.',
    'Delete credentials that nobody uses, or use another vault.',
  ),
  secret_weak: p('invalid', 'change', 'The secret is a default, or too short to be one.', 'Use the value that its issuer gave you.'),
  secret_unreadable: p(
    'internal',
    'never',
    'A sealed secret cannot be opened.',
    'Set the credential anew; if all fail, bring back the key file that belongs to this database.',
  ),
  encryption_key_missing: p(
    'unavailable',
    'change',
    'A key that secrets are sealed with is not here.',
    'Give every server the same CLOISTER_KEK_FILE, with every key that is still in use.',
  ),
  encryption_key_not_found: p('not_found', 'never', 'There is no such encryption key.', 'List the keys at GET /v1/encryption_keys.'),
  encryption_key_in_use: p(
    'conflict',
    'change',
    'The encryption key is still used.',
    'Wait until the rotation has sealed everything with the current key; GET /v1/encryption_keys counts what is left.',
  ),
  mcp_token_not_refreshed: p(
    'upstream',
    'change',
    'The access token for an MCP server could not be refreshed.',
    'Read `last_refresh` of the credential; where the refresh token is refused, sign in again and put the new tokens into it.',
  ),
  managed_keys_refused: p(
    'forbidden',
    'change',
    "The operator's keys are not for this tenant, and it has none of its own for the provider.",
    'Put a key of your own into a vault.',
  ),
} as const satisfies Record<string, ProblemDefinition>;
