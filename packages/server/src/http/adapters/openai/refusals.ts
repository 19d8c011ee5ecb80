import { PlatformError } from '../../../base/errors.ts';

type Body = Readonly<Record<string, unknown>>;

/** What would make the answer another one than was asked for. An empty value asks for nothing. */
const REFUSED: Readonly<Record<string, string>> = {
  tools: 'tools of the client; an agent has its own, and runs them itself',
  functions: 'functions of the client; an agent has its own tools, and runs them itself',
  prompt: 'stored prompts',
  audio: 'audio',
  prediction: 'predicted outputs',
  web_search_options: 'web search options; the agent’s tools say what it can reach',
};

/** What says how a model samples: an agent makes many model calls, and its definition says how. */
const WITHOUT_EFFECT = [
  'temperature',
  'top_p',
  'frequency_penalty',
  'presence_penalty',
  'logit_bias',
  'seed',
  'stop',
  'max_tokens',
  'max_completion_tokens',
  'max_output_tokens',
  'max_tool_calls',
  'reasoning',
  'reasoning_effort',
  'verbosity',
  'service_tier',
  'parallel_tool_calls',
  'tool_choice',
  'truncation',
  'prompt_cache_key',
  'safety_identifier',
  'include',
  'store',
];

export function refuseUnsupported(body: Body): void {
  for (const [name, what] of Object.entries(REFUSED)) if (!isEmpty(body[name])) throw unsupported(name, what);
  if (typeof body.n === 'number' && body.n !== 1) throw unsupported('n', 'more than one answer');
  if (body.logprobs === true || !isEmpty(body.top_logprobs)) throw unsupported('logprobs', 'probabilities of tokens');
  const modalities = Array.isArray(body.modalities) ? body.modalities : [];
  if (modalities.some((one) => one !== 'text')) throw unsupported('modalities', 'answers other than text');
  if (!isText(body.response_format)) throw unsupported('response_format', 'answers in a form of the client’s');
  if (!isText(fieldOf(body.text, 'format'))) throw unsupported('text', 'answers in a form of the client’s');
}

/** The fields that came and change nothing, for the answer's header. */
export function withoutEffect(body: Body): readonly string[] {
  return WITHOUT_EFFECT.filter((name) => name in body && !isEmpty(body[name]));
}

export function unsupported(pointer: string, what: string): PlatformError {
  return new PlatformError('capability_unsupported', {
    detail: `Agents here do not support ${what}.`,
    fields: [{ pointer: `/${pointer}`, message: 'not supported here' }],
  });
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === 0 || (Array.isArray(value) && value.length === 0);
}

function isText(format: unknown): boolean {
  return isEmpty(format) || fieldOf(format, 'type') === 'text';
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
