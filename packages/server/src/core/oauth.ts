/** How a client says at a token endpoint who it is (RFC 6749 §2.3). */
export const TOKEN_ENDPOINT_AUTHS = ['none', 'client_secret_basic', 'client_secret_post'] as const;
export type TokenEndpointAuth = (typeof TOKEN_ENDPOINT_AUTHS)[number];

export interface RefreshRequest {
  readonly tokenEndpoint: string;
  readonly clientId: string;
  readonly auth: TokenEndpointAuth;
  readonly clientSecret: string | undefined;
  readonly refreshToken: string;
  readonly scope: string | null;
  readonly resource: string | null;
}

export type RefreshOutcome =
  | {
      readonly status: 'succeeded';
      readonly accessToken: string;
      /** A new one takes the place of the old. */
      readonly refreshToken: string | undefined;
      readonly expiresInSeconds: number | undefined;
    }
  | {
      /** `failed`: the endpoint answered, and gave no token. `connect_error`: it could not be reached. */
      readonly status: 'failed' | 'connect_error';
      /** Safe to show: it quotes nothing of an answer but its error code. */
      readonly message: string;
      /** The same may be tried again soon. */
      readonly isPassing: boolean;
    };

/** Exchanges a refresh token for an access token (RFC 6749 §6). Never rejects: what went wrong is the outcome. */
export type RefreshGrant = (request: RefreshRequest) => Promise<RefreshOutcome>;

export interface FormRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal: AbortSignal;
}

/** Sends a form to a place that a tenant has named; neither private addresses nor redirects are followed. */
export type SendForm = (
  url: URL,
  request: FormRequest,
) => Promise<{ readonly status: number; readonly contentType: string; readonly body: string }>;
