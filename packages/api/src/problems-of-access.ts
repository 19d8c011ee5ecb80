import { p } from './problem-kinds.ts';

/** What goes wrong with who somebody is and what they may do. Part of the table in `problems.ts`. */
export const PROBLEMS_OF_ACCESS = {
  permission_denied: p(
    'forbidden',
    'never',
    'Your role or your key does not allow this.',
    'Ask an owner or admin of the tenant for a role or a key that may; the message names what it takes.',
  ),
  tenant_suspended: p('forbidden', 'change', 'The tenant is suspended.', 'Ask who runs this installation to resume it.'),
  csrf_refused: p(
    'forbidden',
    'change',
    'The request of a signed-in browser came without the proof that the page sent it.',
    'Send `X-Cloister-CSRF: 1` from the page itself, or use an API key.',
  ),
  sign_in_failed: p(
    'unauthenticated',
    'change',
    'The address and the password do not belong together.',
    'Check both; an admin can send you a new invitation.',
  ),
  sign_in_unavailable: p(
    'upstream',
    'backoff',
    'The identity provider does not do its part.',
    'Try again; the operator finds the reason in the log.',
  ),
  sign_in_refused: p(
    'forbidden',
    'change',
    'The identity provider knows you, but this installation does not let you in.',
    'Ask an admin of the tenant for an invitation.',
  ),
  invitation_invalid: p('not_found', 'never', 'The invitation is unknown, used or too old.', 'Ask who invited you for a new link.'),
  invitation_not_found: p('not_found', 'never', 'There is no such invitation.', 'List the open ones at GET /v1/invitations.'),
  api_key_not_found: p('not_found', 'never', 'There is no such API key.', 'List the keys at GET /v1/api_keys.'),
  api_key_limit_reached: p('conflict', 'change', 'There are as many API keys as there may be.', 'Revoke one that is no longer used.'),
  user_not_found: p('not_found', 'never', 'There is no such person in the tenant.', 'List the people at GET /v1/users.'),
  user_exists: p('conflict', 'change', 'Somebody with this address is here already.', 'Use another address.'),
  last_owner: p('conflict', 'change', 'The tenant would be left without an owner.', 'Make somebody else an owner first.'),
  tenant_not_found: p('not_found', 'never', 'There is no such tenant.', 'List the tenants at GET /v1/tenants.'),
  tenant_exists: p('conflict', 'change', 'There is a tenant with this id already.', 'Choose another id.'),
  tenant_protected: p(
    'conflict',
    'never',
    'The tenant of the operator cannot be suspended or deleted.',
    'Use another tenant for what may go.',
  ),
} as const;
