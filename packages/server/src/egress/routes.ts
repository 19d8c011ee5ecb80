import type { ProviderConfig } from '../config.ts';
import { isProvider, type Provider } from '../core/model.ts';
import { anthropicWire } from './wires/anthropic.ts';
import { geminiWire } from './wires/gemini.ts';
import { openaiChatWire } from './wires/openai-chat.ts';
import { openaiResponsesWire } from './wires/openai-responses.ts';
import type { ModelWire } from './wires/wire.ts';

/**
 * Which requests of a sandbox reach a model provider. Everything not in this table is refused.
 *
 * A client's base URL is `http://127.0.0.1:<port>/<provider>`, with or without the provider's version
 * path behind it; the version is taken off here and put back where the configured base URL lacks it:
 *
 * | provider | client asks for (after `/<provider>`) | sent to |
 * |---|---|---|
 * | anthropic | `/v1/messages`, `/v1/messages/count_tokens`, `/v1/models[/id]` | base (+ `/v1` unless the base ends in it) + rest |
 * | openai, openai-compatible, deepseek, xai, demo | `[/v1]/chat/completions`, `[/v1]/responses`, `[/v1]/models[/id]` | base + rest; a base without any path gets `/v1`, except deepseek |
 * | google | `[/v1beta]/models/{id}:generateContent`, `:streamGenerateContent`, `:countTokens`, `[/v1beta]/models[/id]` | base (+ `/v1beta` unless the base ends in a version) + rest |
 *
 * `HEAD` and `GET` of `/`, `/api/hello` are answered here: clients warm their connection with them.
 */
export interface ModelRoute {
  readonly provider: Provider;
  readonly wire: ModelWire;
  /** The path after the version, with a leading slash. */
  readonly tail: string;
  /** True when the call produces text, so that it is metered and told of. */
  readonly isGeneration: boolean;
  /** The model, for wires that name it in the path. */
  readonly model: string | null;
}

export type RouteMatch =
  | { readonly type: 'route'; readonly route: ModelRoute }
  /** Answered with an empty 200. */
  | { readonly type: 'hello' }
  /** The provider's segment is known, the path or method behind it is not. */
  | { readonly type: 'refused'; readonly provider: Provider; readonly wire: ModelWire }
  | { readonly type: 'none' };

interface RouteRow {
  readonly method: 'GET' | 'POST';
  /** Matched against the tail; group 1, if any, is the model. */
  readonly path: RegExp;
  readonly wire: ModelWire;
  readonly isGeneration: boolean;
}

interface ProviderRoutes {
  readonly version: RegExp;
  readonly rows: readonly RouteRow[];
}

const ID = '[A-Za-z0-9][A-Za-z0-9._-]*';

const ANTHROPIC: ProviderRoutes = {
  version: /^\/v1(?=\/)/,
  rows: [
    { method: 'POST', path: /^\/messages$/, wire: anthropicWire, isGeneration: true },
    { method: 'POST', path: /^\/messages\/count_tokens$/, wire: anthropicWire, isGeneration: false },
    { method: 'GET', path: new RegExp(`^/models(?:/${ID})?$`), wire: anthropicWire, isGeneration: false },
  ],
};

const CHAT_ROWS: readonly RouteRow[] = [
  { method: 'POST', path: /^\/chat\/completions$/, wire: openaiChatWire, isGeneration: true },
  { method: 'GET', path: new RegExp(`^/models(?:/${ID}(?:/${ID})*)?$`), wire: openaiChatWire, isGeneration: false },
];

const OPENAI: ProviderRoutes = {
  version: /^\/v1(?=\/)/,
  rows: [{ method: 'POST', path: /^\/responses$/, wire: openaiResponsesWire, isGeneration: true }, ...CHAT_ROWS],
};

const GOOGLE: ProviderRoutes = {
  version: /^\/v1(?:beta|alpha)?(?=\/)/,
  rows: [
    {
      method: 'POST',
      path: new RegExp(`^/models/(${ID}):(?:generateContent|streamGenerateContent)$`),
      wire: geminiWire,
      isGeneration: true,
    },
    { method: 'POST', path: new RegExp(`^/models/(${ID}):countTokens$`), wire: geminiWire, isGeneration: false },
    { method: 'GET', path: new RegExp(`^/models(?:/${ID})?$`), wire: geminiWire, isGeneration: false },
  ],
};

const TABLE: Readonly<Record<Provider, ProviderRoutes>> = {
  anthropic: ANTHROPIC,
  openai: OPENAI,
  'openai-compatible': OPENAI,
  xai: OPENAI,
  deepseek: { version: OPENAI.version, rows: CHAT_ROWS },
  demo: { version: OPENAI.version, rows: CHAT_ROWS },
  google: GOOGLE,
};

/** Query parameters that go on; a key in the query would be one of the sandbox's own. */
const QUERY_PARAMETERS = new Set(['beta', 'alt', 'limit', 'order', 'after', 'after_id', 'before_id', 'pageSize', 'pageToken']);

/** `path` is as it came: nothing is decoded, so nothing that decodes to something else gets by. */
export function matchRoute(method: string, path: string): RouteMatch {
  const slash = path.indexOf('/', 1);
  const segment = slash < 0 ? path.slice(1) : path.slice(1, slash);
  if (!isProvider(segment)) return { type: 'none' };
  const rest = slash < 0 ? '' : path.slice(slash);
  if ((method === 'HEAD' || method === 'GET') && /^(\/|\/api\/hello)?$/.test(rest)) return { type: 'hello' };
  const routes = TABLE[segment];
  const tail = rest.replace(routes.version, '');
  for (const row of routes.rows) {
    const match = row.method === method ? row.path.exec(tail) : null;
    if (match === null) continue;
    return { type: 'route', route: { provider: segment, wire: row.wire, tail, isGeneration: row.isGeneration, model: match[1] ?? null } };
  }
  return {
    type: 'refused',
    provider: segment,
    wire: segment === 'anthropic' ? anthropicWire : segment === 'google' ? geminiWire : openaiChatWire,
  };
}

/** Where a matched request goes: always the configured origin, whatever the client wrote. */
export function upstreamUrl(route: ModelRoute, query: string, config: ProviderConfig): URL {
  const base = new URL(config.baseUrl);
  const basePath = base.pathname.replace(/\/+$/, '');
  const url = new URL(base.origin);
  url.pathname = `${basePath}${versionFor(route.provider, basePath)}${route.tail}`;
  for (const [name, value] of new URLSearchParams(query)) {
    if (QUERY_PARAMETERS.has(name)) url.searchParams.append(name, value);
  }
  return url;
}

function versionFor(provider: Provider, basePath: string): string {
  if (provider === 'anthropic') return basePath.endsWith('/v1') ? '' : '/v1';
  if (provider === 'google') return /\/v1(beta|alpha)?$/.test(basePath) ? '' : '/v1beta';
  return basePath === '' && provider !== 'deepseek' ? '/v1' : '';
}

/** The setting whose absence leaves a provider without a way there. */
export const SETTING_BY_PROVIDER: Readonly<Record<Provider, string>> = {
  anthropic: 'ANTHROPIC_API_KEY',
  openai: 'OPENAI_API_KEY',
  'openai-compatible': 'OPENAI_BASE_URL',
  google: 'GEMINI_API_KEY',
  deepseek: 'DEEPSEEK_API_KEY',
  xai: 'XAI_API_KEY',
  demo: 'nothing',
};
