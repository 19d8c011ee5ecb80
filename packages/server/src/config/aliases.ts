// Variables of the systems whose users come over: those that are ours by another name, and those that mean nothing
// here. What one of their APIs reads for itself (config/noclaw.ts, agent-http.ts, clawhq.ts) is not among them.
import { type Environment, invalid, peek } from './values.ts';

interface Alias {
  readonly ours: string;
  /** Given as another unit. */
  readonly convert?: (value: string, name: string) => string;
}

export const ALIASES: Readonly<Record<string, Alias>> = {
  MAX_CONCURRENT_CONTAINERS: { ours: 'MAX_CONCURRENT_SANDBOXES' },
  IDLE_TIMEOUT: { ours: 'SANDBOX_IDLE_SECONDS', convert: toSeconds },
  CLAWHQ_DATA_DIR: { ours: 'DATA_DIR' },
  CLAWHQ_CLAUDE_API_KEY: { ours: 'ANTHROPIC_API_KEY' },
  CLAWHQ_OPENAI_API_KEY: { ours: 'OPENAI_API_KEY' },
  CLAWHQ_GEMINI_API_KEY: { ours: 'GEMINI_API_KEY' },
  CLAWHQ_DEEPSEEK_API_KEY: { ours: 'DEEPSEEK_API_KEY' },
  CLAWHQ_GROK_API_KEY: { ours: 'XAI_API_KEY' },
};

const NO_CHANNELS = 'no chat network is connected by the server itself; a program that is does it by the API and webhooks';
const SEALED = 'secrets are sealed with CLOISTER_KEK';
const SIGN_IN = 'sign-ins are kept in the database, and need no secret of yours';

export const UNUSED: Readonly<Record<string, string>> = {
  TELEGRAM_BOT_TOKEN: NO_CHANNELS,
  SLACK_BOT_TOKEN: NO_CHANNELS,
  SLACK_APP_TOKEN: NO_CHANNELS,
  DISCORD_BOT_TOKEN: NO_CHANNELS,
  CREDENTIAL_PROXY_PORT: 'the gateway puts credentials in, and listens on no port',
  CLAWFT_CONFIG: 'settings are in the environment and config.yaml',
  JWT_SECRET: SIGN_IN,
  JWT_REFRESH_SECRET: SIGN_IN,
  API_KEY_ENCRYPTION_KEY: SEALED,
  MASTER_API_ENCRYPTION_KEY: SEALED,
  FRONTEND_URL: 'the dashboard is served by the server; PUBLIC_URL says where browsers reach it',
  APP_URL: 'PUBLIC_URL says where browsers reach the installation',
  REDIS_URL: 'the database is all that is needed',
  GOOGLE_CLIENT_ID: 'an identity provider is set with OIDC_ISSUER and OIDC_CLIENT_ID',
  GOOGLE_CLIENT_SECRET: 'an identity provider is set with OIDC_ISSUER and OIDC_CLIENT_SECRET',
};

interface Taken {
  readonly env: Readonly<Record<string, string>>;
  /** Under which name each of ours was found. */
  readonly from: ReadonlyMap<string, string>;
  readonly notes: readonly string[];
}

/** What only their names set, under ours. */
export function takeAliases(given: Environment): Taken {
  const env: Record<string, string> = {};
  const from = new Map<string, string>();
  const notes: string[] = [];
  const isSet = (name: string) => (peek(given, name) ?? env[name]) !== undefined;
  for (const [theirs, { ours, convert }] of Object.entries(ALIASES)) {
    for (const suffix of convert === undefined ? ['', '_FILE'] : ['']) {
      const value = peek(given, `${theirs}${suffix}`);
      if (value === undefined) continue;
      if (isSet(ours) || isSet(`${ours}_FILE`)) {
        notes.push(`${theirs}${suffix} is not used: ${ours} is set too, and goes first`);
        continue;
      }
      env[`${ours}${suffix}`] = convert?.(value, theirs) ?? value;
      from.set(ours, `${theirs}${suffix}`);
      notes.push(`${theirs}${suffix} is taken as ${ours}${suffix}: rename it`);
    }
  }
  for (const [name, why] of Object.entries(UNUSED)) if (peek(given, name) !== undefined) notes.push(`${name} is not used here: ${why}`);
  return { env, from, notes };
}

function toSeconds(value: string, name: string): string {
  const milliseconds = Number(value);
  if (Number.isFinite(milliseconds) && milliseconds >= 1) return String(Math.max(1, Math.round(milliseconds / 1000)));
  throw invalid(name, `"${value}" is not a number of milliseconds`);
}
