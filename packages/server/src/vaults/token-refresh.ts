import { type Clock, delay, toTimestamp } from '../base/clock.ts';
import { PlatformError } from '../base/errors.ts';
import { asJsonObject, type JsonObject } from '../base/json.ts';
import type { AuditEntry } from '../core/audit.ts';
import type { RefreshGrant, RefreshOutcome } from '../core/oauth.ts';
import type { Sealer } from '../core/sealing.ts';
import type { CredentialRow, Store } from '../store/store.ts';
import { openSecret } from './envelope.ts';
import { type OauthTokens, packTokens, refreshOf, unpackTokens } from './oauth-tokens.ts';
import { credentialAad } from './vaults.ts';

/**
 * The access token of an `mcp_oauth` credential, refreshed when it is about to run out or when it is the one that the
 * server has `refused`. However many calls ask, on however many servers, the refresh token is used once: some issuers
 * take the second use of one for theft. Throws `mcp_token_not_refreshed`.
 */
export type TokenRefresh = (row: CredentialRow, asked?: { readonly refused?: string | undefined }) => Promise<string>;

export interface TokenRefreshDeps {
  readonly store: Pick<Store, 'vaults'>;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly grant: RefreshGrant;
  readonly tell: (entry: AuditEntry) => void;
}

/** What runs out sooner counts as run out: a call takes its time, and clocks differ. */
const EARLY_MS = 60_000;
/** How long one server has for a refresh before another may take it over. Longer than any grant takes. */
const CLAIM_MS = 30_000;
const POLL_MS = 200;
/** How long an endpoint that gave no token is left alone. */
const PAUSE_MS = { passing: 5000, lasting: 60_000 };
const WRITES = 5;

export function createTokenRefresh(deps: TokenRefreshDeps): TokenRefresh {
  const running = new Map<string, Promise<string>>();
  return async (row, { refused } = {}) => {
    const { accessToken } = tokensOf(deps, row);
    if (!isNeeded(deps, row, refused)) return accessToken;
    const key = JSON.stringify([row.tenantId, row.id]);
    let refresh = running.get(key);
    if (refresh === undefined) {
      refresh = refreshed(deps, row, refused).finally(() => running.delete(key));
      running.set(key, refresh);
    }
    return refresh;
  };
}

function tokensOf({ sealer }: TokenRefreshDeps, row: CredentialRow): OauthTokens {
  if (row.sealed === null) throw new PlatformError('credential_archived');
  return unpackTokens(row.auth, openSecret(sealer, row.sealed, credentialAad(row)));
}

function isNeeded(deps: TokenRefreshDeps, row: CredentialRow, refused: string | undefined): boolean {
  if (refused !== undefined && tokensOf(deps, row).accessToken === refused) return true;
  return refreshOf(row.auth) !== undefined && runsOutWithin(row, deps.clock.now() + EARLY_MS);
}

function runsOutWithin({ auth }: CredentialRow, at: number): boolean {
  return typeof auth.expires_at === 'string' && Date.parse(auth.expires_at) <= at;
}

async function refreshed(deps: TokenRefreshDeps, row: CredentialRow, refused: string | undefined): Promise<string> {
  const { store, clock } = deps;
  const giveUpAt = clock.monotonic() + CLAIM_MS;
  for (;;) {
    const current = await store.vaults.findCredential(row);
    if (current === undefined || current.archivedAt !== null) throw new PlatformError('credential_archived');
    if (!isNeeded(deps, current, refused)) return tokensOf(deps, current).accessToken;
    const pause = pauseOf(current, clock.now());
    if (pause !== undefined) return old(deps, current, { refused, message: pause });
    const claimed = isClaimed(current, clock.now()) ? undefined : await claim(deps, current);
    if (claimed !== undefined) return exchange(deps, claimed, refused);
    if (clock.monotonic() > giveUpAt) return old(deps, current, { refused, message: 'Another server did not come to an end with it.' });
    await delay(clock, POLL_MS);
  }
}

/** Marks the row as taken; undefined when somebody was quicker. Sealed anew, so that its version tells one claim from another. */
function claim(deps: TokenRefreshDeps, row: CredentialRow): Promise<CredentialRow | undefined> {
  const auth = { ...row.auth, refreshing_until: deps.clock.now() + CLAIM_MS };
  return write(deps, row, auth, tokensOf(deps, row));
}

function write(deps: TokenRefreshDeps, row: CredentialRow, auth: JsonObject, tokens: OauthTokens): Promise<CredentialRow | undefined> {
  const { store, sealer, clock } = deps;
  const { tenantId, vaultId, id, version } = row;
  const sealed = sealer.seal(packTokens(tokens), credentialAad({ tenantId, id, version: version + 1 }));
  return store.vaults.updateCredential({ tenantId, vaultId, id, version, auth, sealed, now: clock.now() });
}

async function exchange(deps: TokenRefreshDeps, claimed: CredentialRow, refused: string | undefined): Promise<string> {
  const used = tokensOf(deps, claimed);
  const settings = refreshOf(claimed.auth);
  const outcome: RefreshOutcome =
    settings === undefined || used.refreshToken === undefined
      ? { status: 'failed', message: 'The credential has no refresh token.', isPassing: false }
      : await deps.grant({ ...settings, clientSecret: used.clientSecret, refreshToken: used.refreshToken });
  const kept = await keep(deps, claimed, used, outcome);
  if (outcome.status === 'succeeded') return outcome.accessToken;
  return old(deps, kept, { refused, message: outcome.message });
}

/**
 * Writes what came of it. Somebody may have changed the credential meanwhile: what they gave stays, but where they left
 * the refresh token as it was, the new tokens take its place, since that one may be used up.
 */
async function keep(deps: TokenRefreshDeps, claimed: CredentialRow, used: OauthTokens, outcome: RefreshOutcome): Promise<CredentialRow> {
  let row = claimed;
  for (let tries = 0; tries < WRITES; tries++) {
    const current = tokensOf(deps, row);
    if (current.refreshToken !== used.refreshToken) return row;
    const written = await write(deps, row, authAfter(row.auth, outcome, deps.clock.now()), tokensAfter(current, outcome));
    if (written !== undefined) {
      tellOf(deps, written, outcome);
      return written;
    }
    const found = await deps.store.vaults.findCredential(row);
    if (found === undefined || found.archivedAt !== null) throw new PlatformError('credential_archived');
    row = found;
  }
  throw new PlatformError('store_unavailable', { detail: 'Others changed the credential at the same time.' });
}

function tokensAfter(current: OauthTokens, outcome: RefreshOutcome): OauthTokens {
  if (outcome.status !== 'succeeded') return current;
  const { accessToken, refreshToken = current.refreshToken } = outcome;
  return { ...current, accessToken, refreshToken };
}

function authAfter({ refreshing_until: _claim, ...auth }: JsonObject, outcome: RefreshOutcome, now: number): JsonObject {
  const at = toTimestamp(now);
  if (outcome.status !== 'succeeded') {
    const { status, message, isPassing } = outcome;
    return { ...auth, last_refresh: { status, at, message, is_passing: isPassing } };
  }
  const { expiresInSeconds: seconds } = outcome;
  const expiresAt = seconds === undefined ? null : toTimestamp(now + seconds * 1000);
  return { ...auth, expires_at: expiresAt, last_refresh: { status: 'succeeded', at, message: null } };
}

function tellOf({ tell }: TokenRefreshDeps, { tenantId, vaultId, id }: CredentialRow, { status }: RefreshOutcome): void {
  tell({ tenantId, actor: 'system', action: 'credential.changed', subject: id, detail: { vault: vaultId, what: 'refreshed', status } });
}

/** The token that there is, as long as it may still do; where it does not, why there is no other. */
function old(deps: TokenRefreshDeps, row: CredentialRow, why: { readonly refused: string | undefined; readonly message: string }): string {
  const { accessToken } = tokensOf(deps, row);
  if (accessToken !== why.refused && !runsOutWithin(row, deps.clock.now())) return accessToken;
  const server = typeof row.auth.mcp_server_url === 'string' ? row.auth.mcp_server_url : row.target;
  throw new PlatformError('mcp_token_not_refreshed', {
    detail: `The access token for the MCP server at ${server} is no longer good, and no new one was given: ${why.message}`,
  });
}

function isClaimed({ auth }: CredentialRow, now: number): boolean {
  // One that lies further ahead than any claim reaches is of a clock that was wrong.
  return typeof auth.refreshing_until === 'number' && auth.refreshing_until > now && auth.refreshing_until <= now + 2 * CLAIM_MS;
}

/** Why the endpoint is not asked now; undefined when it may be. */
function pauseOf(row: CredentialRow, now: number): string | undefined {
  const { status, at, message, is_passing: isPassing } = asJsonObject(row.auth.last_refresh);
  if (typeof at !== 'string') return undefined;
  if (status === 'succeeded') {
    const isJustGiven = Math.abs(now - Date.parse(at)) < PAUSE_MS.passing && !runsOutWithin(row, now);
    return isJustGiven ? 'The server refuses the one that was given a moment ago.' : undefined;
  }
  if (typeof message !== 'string') return undefined;
  const pause = isPassing === true ? PAUSE_MS.passing : PAUSE_MS.lasting;
  return Math.abs(now - Date.parse(at)) < pause ? message : undefined;
}
