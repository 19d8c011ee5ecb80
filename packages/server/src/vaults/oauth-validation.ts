import type { CredentialValidation } from '@cloister/api';
import { type Clock, toTimestamp } from '../base/clock.ts';
import { isPlatformError, PlatformError } from '../base/errors.ts';
import { asJsonObject } from '../base/json.ts';
import { redact } from '../base/redaction/redaction.ts';
import type { SendForm } from '../core/oauth.ts';
import type { Sealer } from '../core/sealing.ts';
import type { CredentialRow, Store } from '../store/store.ts';
import { textOrNull } from './auth.ts';
import { openSecret } from './envelope.ts';
import { refreshOf, unpackTokens } from './oauth-tokens.ts';
import type { TokenRefresh } from './token-refresh.ts';
import { credentialAad } from './vaults.ts';

/** Tries a token at its MCP server. Throws `capability_unsupported` for a credential of another kind. */
export type OauthValidation = (row: CredentialRow) => Promise<CredentialValidation>;

export interface OauthValidationDeps {
  readonly store: Pick<Store, 'vaults'>;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly accessToken: TokenRefresh;
  readonly send: SendForm;
}

const TIMEOUT_MS = 15_000;
const MAX_BODY = 2000;
const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'cloister', version: '1' } },
} as const;

type Refresh = NonNullable<CredentialValidation['refresh']>;

interface Probe {
  readonly verdict: CredentialValidation['status'];
  readonly failure: CredentialValidation['mcp_probe'];
}

export function createOauthValidation(deps: OauthValidationDeps): OauthValidation {
  return async (row) => {
    if (row.kind !== 'mcp_oauth')
      throw new PlatformError('capability_unsupported', { detail: 'Only `mcp_oauth` credentials can be validated.' });
    if (row.sealed === null) throw new PlatformError('credential_archived');
    const { accessToken } = unpackTokens(row.auth, openSecret(deps.sealer, row.sealed, credentialAad(row)));
    let probe = await probeWith(deps, row, accessToken);
    let refresh: Refresh | null = null;
    if (probe.failure?.http_response?.status_code === 401) {
      const { token, status } = await refreshed(deps, row, accessToken);
      refresh = { status, http_response: null };
      if (token !== undefined) probe = await probeWith(deps, row, token);
      else if (status === 'connect_error') probe = { ...probe, verdict: 'unknown' };
    }
    return {
      type: 'vault_credential_validation',
      credential_id: row.id,
      vault_id: row.vaultId,
      has_refresh_token: refreshOf(row.auth) !== undefined,
      status: probe.verdict,
      mcp_probe: probe.failure,
      refresh,
      validated_at: toTimestamp(deps.clock.now()),
    };
  };
}

async function probeWith({ send }: OauthValidationDeps, { auth, target }: CredentialRow, token: string): Promise<Probe> {
  const { method } = INITIALIZE;
  const headers = {
    authorization: `Bearer ${token}`,
    accept: 'application/json, text/event-stream',
    'accept-encoding': 'identity',
    'content-type': 'application/json',
  };
  try {
    const request = { method: 'POST', headers, body: JSON.stringify(INITIALIZE), signal: AbortSignal.timeout(TIMEOUT_MS) };
    const { status, contentType, body } = await send(new URL(textOrNull(auth.mcp_server_url) ?? target), request);
    if (status >= 200 && status < 300) return { verdict: 'valid', failure: null };
    const shown = redact(body);
    const response = {
      status_code: status,
      content_type: contentType,
      body: shown.slice(0, MAX_BODY),
      body_truncated: shown.length > MAX_BODY,
    };
    return { verdict: status === 401 || status === 403 ? 'invalid' : 'unknown', failure: { method, http_response: response } };
  } catch {
    // Whatever kept it from an answer: it says nothing of the token.
    return { verdict: 'unknown', failure: { method, http_response: null } };
  }
}

async function refreshed(
  { store, accessToken }: OauthValidationDeps,
  row: CredentialRow,
  refused: string,
): Promise<{ readonly token?: string; readonly status: Refresh['status'] }> {
  if (refreshOf(row.auth) === undefined) return { status: 'no_refresh_token' };
  try {
    return { token: await accessToken(row, { refused }), status: 'succeeded' };
  } catch (error) {
    if (!isPlatformError(error, 'mcp_token_not_refreshed')) throw error;
    const after = await store.vaults.findCredential(row);
    return { status: asJsonObject(after?.auth.last_refresh).status === 'connect_error' ? 'connect_error' : 'failed' };
  }
}
