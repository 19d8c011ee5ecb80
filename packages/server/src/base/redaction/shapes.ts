/** What a secret looks like by its place or its own form, whoever's it is. Each has a cheap sign that it may be there. */
interface Shape {
  readonly sign: RegExp | string;
  readonly pattern: RegExp;
  readonly by: string;
}

const MASK = '[redacted]';
const QUERY_KEYS =
  'access_token|refresh_token|id_token|api[-_]?key|apikey|client_secret|key|password|passwd|pwd|secret|session_token|sig|signature|token';

const SHAPES: readonly Shape[] = [
  // The user's part of a URL: `postgres://cloister:secret@host/`.
  { sign: '@', pattern: /(:\/\/)[^\s/@"'\\<>]{1,512}@/g, by: `$1${MASK}@` },
  { sign: '=', pattern: new RegExp(`([?&;](?:${QUERY_KEYS})=)[^&\\s"'#\\\\<>]{1,4096}`, 'gi'), by: `$1${MASK}` },
  { sign: /earer |asic /, pattern: /\b(bearer|basic) +[A-Za-z0-9._~+/=-]{8,4096}/gi, by: `$1 ${MASK}` },
  {
    sign: /clst_|clcb_|whsec_|sk-|xai-|gh[pousr]_|AIza|xox[abprs]-/,
    pattern: /(?<![A-Za-z0-9])(?:clst_|clcb_|whsec_|sk-|xai-|gh[pousr]_|AIza|xox[abprs]-)[A-Za-z0-9_+/=.-]{16,512}/g,
    by: MASK,
  },
  { sign: 'PRIVATE KEY', pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]{1,16384}?-----END [A-Z ]*PRIVATE KEY-----/g, by: MASK },
];

export function redactShapes(text: string): string {
  let result = text;
  for (const { sign, pattern, by } of SHAPES) {
    const isThere = typeof sign === 'string' ? result.includes(sign) : sign.test(result);
    if (isThere) result = result.replace(pattern, by);
  }
  return result;
}

/** Names of fields and headers whose values are secret, whatever they are; compared without case, `-` and `_`. */
const SECRET_NAMES = new Set([
  'accesstoken',
  'adminkey',
  'apikey',
  'authorization',
  'clientsecret',
  'cookie',
  'databaseurl',
  'idtoken',
  'kek',
  'passphrase',
  'password',
  'privatekey',
  'proxyauthorization',
  'refreshtoken',
  'secret',
  'secrets',
  'secretvalue',
  'setcookie',
  'token',
  'xapikey',
  'xgoogapikey',
]);

export function isSecretName(name: string): boolean {
  return name.length < 24 && SECRET_NAMES.has(name.replaceAll(/[-_]/g, '').toLowerCase());
}

const MAX_DEPTH = 8;

/** The value without what stands under a secret name, at any depth; what holds no such name is returned as it is. */
export function redactFields(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return value;
  if (Array.isArray(value)) return mapped(value, (one) => redactFields(one, depth + 1));
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  let copy: Record<string, unknown> | undefined;
  for (const [name, inner] of Object.entries(value)) {
    const kept = isSecretName(name) && inner !== null && inner !== undefined ? MASK : redactFields(inner, depth + 1);
    if (kept === inner) continue;
    copy ??= { ...value };
    copy[name] = kept;
  }
  return copy ?? value;
}

function mapped(list: readonly unknown[], change: (one: unknown) => unknown): readonly unknown[] {
  const changed = list.map(change);
  return changed.some((one, index) => one !== list[index]) ? changed : list;
}
