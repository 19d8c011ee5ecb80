import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

/** RFC 9110 §7.6.1: these speak about one connection only. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'proxy-connection',
  'expect',
];

/** What a sandbox may not say to a model provider: who it is, who pays, and where it comes from. */
const NOT_FORWARDED = new Set([
  ...HOP_BY_HOP,
  'host',
  // The meter reads the answer, so it must not be compressed.
  'accept-encoding',
  'authorization',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'x-goog-user-project',
  'openai-organization',
  'openai-project',
  'cookie',
  'cookie2',
  'forwarded',
  'via',
  'x-real-ip',
  'x-http-method-override',
  'x-method-override',
  'x-http-method',
]);

const NOT_RETURNED = new Set([
  ...HOP_BY_HOP,
  'set-cookie',
  'set-cookie2',
  'alt-svc',
  'strict-transport-security',
  // These name the operator's account.
  'anthropic-organization-id',
  'openai-organization',
  'openai-project',
]);

export interface Credential {
  readonly header: string;
  readonly value: string;
}

/** The headers of a request to a model provider: the sandbox's without what it may not say, and our credential. */
export function upstreamHeaders(headers: IncomingHttpHeaders, auth: Credential | undefined): OutgoingHttpHeaders {
  const forwarded: OutgoingHttpHeaders = {};
  const named = namedByConnection(headers);
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || NOT_FORWARDED.has(name) || named.has(name) || /^(proxy-|x-forwarded-)/.test(name)) continue;
    forwarded[name] = value;
  }
  forwarded['accept-encoding'] = 'identity';
  if (auth !== undefined) forwarded[auth.header] = auth.value;
  if (auth?.value.startsWith('Bearer sk-ant-oat')) forwarded['anthropic-beta'] = withOauthBeta(forwarded['anthropic-beta']);
  return forwarded;
}

/** Anthropic accepts the token of a subscription only together with this beta name. */
function withOauthBeta(value: OutgoingHttpHeaders[string]): string {
  const names = String(value ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  return [...new Set([...names, 'oauth-2025-04-20'])].join(',');
}

/** The headers of an answer on its way into the sandbox. */
export function returnedHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const returned: OutgoingHttpHeaders = {};
  const named = namedByConnection(headers);
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || NOT_RETURNED.has(name) || named.has(name) || name.startsWith('proxy-')) continue;
    returned[name] = value;
  }
  return returned;
}

/** The headers of a plain request to an allowed host: everything but what speaks to the proxy. */
export function proxiedHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const forwarded: OutgoingHttpHeaders = {};
  const named = namedByConnection(headers);
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || HOP_BY_HOP.includes(name) || named.has(name) || name === 'host' || name.startsWith('proxy-')) continue;
    forwarded[name] = value;
  }
  return forwarded;
}

function namedByConnection(headers: IncomingHttpHeaders): ReadonlySet<string> {
  const names = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  // The length is ours to say: a sandbox must not have it dropped and a body misread.
  return new Set(names.filter((name) => name !== '' && name !== 'content-length'));
}
