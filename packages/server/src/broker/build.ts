import { asJsonObject } from '../base/json.ts';
import type { Call, CallDeps, Outcome, Rule } from './calls.ts';
import { textsOf } from './fields.ts';
import { parseJson } from './filters.ts';
import { refusal } from './policy.ts';

const VARIANT_LABEL = 'cloister.image.variant';
const FLAG = /^[01]$/;

/**
 * What making the sandbox image needs. Only for who starts the broker so: a build runs commands as root in the
 * engine's build containers, with its network.
 */
export const BUILD_RULES: readonly Rule[] = [
  {
    method: 'POST',
    path: /^\/build$/,
    query: {
      version: /^1$/,
      t: /^cloister-sandbox:[A-Za-z0-9_.-]{1,100}$/,
      target: /^[a-z]{1,40}$/,
      rm: FLAG,
      forcerm: FLAG,
      nocache: FLAG,
      labels: /^[\s\S]{1,4096}$/,
    },
    kind: 'tar',
    run: build,
  },
  { method: 'GET', path: /^\/images\/json$/, query: { filters: /^[\s\S]{1,4096}$/ }, run: untagged },
  { method: 'DELETE', path: /^\/images\/(sha256(?::|%3A)[0-9a-f]{64})$/, run: remove },
];

async function build(_deps: CallDeps, { query, upload }: Call): Promise<Outcome> {
  if (upload === undefined || query.t === undefined) throw refusal('a build needs a context and a tag');
  const request = {
    method: 'POST' as const,
    path: '/build',
    query,
    upload: { type: 'application/x-tar', body: upload },
    deadlineMs: 120_000,
  };
  return { type: 'forward', request };
}

async function untagged(_deps: CallDeps, { query }: Call): Promise<Outcome> {
  const { label, dangling, ...others } = asJsonObject(parseJson(query.filters ?? '{}'));
  const isOurs = textsOf(label, 'the filter label').every((one) => one.startsWith(`${VARIANT_LABEL}=`));
  if (!isOurs || Object.keys(others).length > 0) throw refusal('only the outdated sandbox images are listed');
  const filters = JSON.stringify({ dangling: textsOf(dangling, 'the filter dangling'), label: textsOf(label, 'the filter label') });
  return { type: 'forward', request: { method: 'GET', path: '/images/json', query: { filters } } };
}

async function remove({ engine }: CallDeps, { parts: [sent = ''] }: Call): Promise<Outcome> {
  const path = `/images/${encodeURIComponent(sent.replace('%3A', ':'))}`;
  const { status, body } = await engine.call({ method: 'GET', path: `${path}/json` });
  const labels = asJsonObject(asJsonObject(asJsonObject(body).Config).Labels);
  if (status === 200 && labels[VARIANT_LABEL] === undefined) throw refusal('the image is no sandbox image');
  return { type: 'forward', request: { method: 'DELETE', path } };
}
