/** The ids of OpenAI's objects are those of ours under another prefix, so that each leads back without a table. */
const PREFIXES = {
  chat: ['chatcmpl-', 'trn_'],
  response: ['resp_', 'trn_'],
  message: ['msg_', 'evt_'],
  conversation: ['conv_', 'ses_'],
} as const;

type Kind = keyof typeof PREFIXES;

export function toOpenAiId(kind: Kind, id: string): string {
  const [theirs, ours] = PREFIXES[kind];
  return theirs + (id.startsWith(ours) ? id.slice(ours.length) : id);
}

/** Undefined for what is no id of ours. */
export function fromOpenAiId(kind: Kind, id: string): string | undefined {
  const [theirs, ours] = PREFIXES[kind];
  const unique = id.startsWith(theirs) ? id.slice(theirs.length) : '';
  return /^[0-9a-f]{32}$/.test(unique) ? ours + unique : undefined;
}
