import type { Clock } from '../base/clock.ts';
import { redact } from '../base/redaction/redaction.ts';
import type { Provider } from '../core/model.ts';
import type { ProviderConfig } from '../core/provider-config.ts';
import { errorCode } from './dial.ts';
import { failureOfAnswer } from './failures.ts';
import { fetchSmall, type SmallAnswer } from './fetch-small.ts';
import type { KeyCheck, KeyVerdict } from './gateway.ts';
import { upstreamHeaders } from './headers.ts';
import { isRecord, parseJson } from './json.ts';
import { matchRoute, upstreamUrl } from './routes.ts';
import type { UpstreamAgents } from './upstream-agents.ts';

export interface KeyCheckOptions {
  readonly clock: Clock;
  /** Makes what the question goes by: checked ones for places that tenants have named. They are closed after it. */
  readonly openAgents: (timeoutMs: number) => UpstreamAgents;
}

const TIMEOUT_MS = 15_000;
const MAX_MODELS = 50;
/** Providers that answer 200 or 4xx to whoever asks for models, and say in words that nothing is left. */
const OUT_OF_QUOTA = /insufficient[_ ]quota|credit balance|exceeded your current quota|billing|payment required|out of credit/i;

/** Asks for the list of models: it costs nothing, and tells a good key from a bad one everywhere. */
export function createKeyCheck({ clock, openAgents }: KeyCheckOptions): KeyCheck {
  return async (provider, config) => {
    const agents = openAgents(TIMEOUT_MS);
    try {
      return verdictOf(
        await ask(provider, config, (url, headers) => fetchSmall(url, { headers, agents, signal: AbortSignal.timeout(TIMEOUT_MS) })),
        clock.now(),
      );
    } catch (error) {
      const why = error instanceof Error && 'detail' in error ? String(error.detail) : errorCode(error);
      return { result: 'unreachable', status: null, message: redact(`The provider could not be reached: ${why}`), models: [] };
    } finally {
      agents.close();
    }
  };
}

type Ask = (url: URL, headers: ReturnType<typeof upstreamHeaders>) => Promise<SmallAnswer>;

async function ask(provider: Provider, config: ProviderConfig, send: Ask): Promise<SmallAnswer> {
  const match = matchRoute('GET', `/${provider}/models`);
  if (match.type !== 'route') throw new TypeError(`there is no list of models at ${provider}`);
  const version: Readonly<Record<string, string>> = provider === 'anthropic' ? { 'anthropic-version': '2023-06-01' } : {};
  return send(upstreamUrl(match.route, '', config), upstreamHeaders(version, config.auth));
}

function verdictOf({ status, headers, body }: SmallAnswer, now: number): KeyVerdict {
  if (status >= 200 && status < 300) {
    const models = modelsIn(body);
    return {
      result: 'ok',
      status,
      message: `The provider takes the key and names ${models.length} models.`,
      models: models.slice(0, MAX_MODELS),
    };
  }
  const { message } = failureOfAnswer(status, headers, body, now);
  return { result: resultOf(status, body), status, message: redact(message), models: [] };
}

function resultOf(status: number, body: string): KeyVerdict['result'] {
  if (status === 402 || OUT_OF_QUOTA.test(body) || status === 429) return 'quota';
  if (status === 401 || status === 403 || /API_KEY_INVALID|api key not valid/i.test(body)) return 'invalid';
  return 'failed';
}

/** `data[].id` everywhere but at Google, which has `models[].name`. */
function modelsIn(body: string): readonly string[] {
  const parsed = parseJson(body);
  if (!isRecord(parsed)) return [];
  const list = Array.isArray(parsed.data) ? parsed.data : Array.isArray(parsed.models) ? parsed.models : [];
  return list.flatMap((one: unknown) => {
    if (!isRecord(one)) return [];
    const name = one.id ?? one.name;
    return typeof name === 'string' ? [name.replace(/^models\//, '').slice(0, 200)] : [];
  });
}
