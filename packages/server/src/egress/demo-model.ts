import { isRecord, type JsonRecord, records, textAt } from './json.ts';

/**
 * The model that answers when no provider has a key, so that a newcomer sees the whole way work:
 * deterministic, made of a few patterns, and labelled as a demo in everything it says. It calls the
 * agent's real tools in the real sandbox.
 */
export interface DemoAnswer {
  readonly text: string;
  readonly toolCall: DemoToolCall | undefined;
}

export interface DemoToolCall {
  readonly name: 'bash' | 'write' | 'read';
  readonly input: JsonRecord;
}

const LABEL = '[demo]';
const MAX_QUOTE = 1_000;
const VERBS = 'run|write|read';

/** Decides the answer to a Chat Completions request body. */
export function demoAnswer(body: JsonRecord): DemoAnswer {
  const conversation = readConversation(body);
  const steps = stepsIn(conversation.said);
  const step = steps[conversation.results.length];
  if (step !== undefined) {
    if (toolNames(body).has(step.name)) return { text: '', toolCall: step };
    return { text: `${LABEL} I would use the tool "${step.name}" for this, but this agent does not have it.`, toolCall: undefined };
  }
  return { text: conversation.results.length > 0 ? report(steps, conversation.results) : explanation(conversation), toolCall: undefined };
}

interface Conversation {
  readonly said: string;
  readonly first: string;
  readonly userMessages: number;
  readonly messages: number;
  /** Of the tools called since the last thing the user said. */
  readonly results: readonly string[];
}

function readConversation(body: JsonRecord): Conversation {
  const users: string[] = [];
  let results: string[] = [];
  let messages = 0;
  for (const message of records(body.messages)) {
    const text = textOf(message.content);
    if (message.role === 'tool') results.push(text);
    else if (message.role === 'user' && text !== '') {
      users.push(text);
      results = [];
    }
    if (message.role === 'user' || message.role === 'assistant') messages++;
  }
  return { said: users.at(-1) ?? '', first: users[0] ?? '', userMessages: users.length, messages, results };
}

function textOf(content: unknown): string {
  const whole =
    typeof content === 'string'
      ? content
      : records(content)
          .map((part) => textAt(part, 'text') ?? '')
          .join('\n');
  return whole.replace(/<system-reminder>[\s\S]*?<\/system-reminder>/g, '').trim();
}

function toolNames(body: JsonRecord): ReadonlySet<string> {
  return new Set(records(body.tools).map((tool) => textAt(tool, 'function', 'name') ?? ''));
}

/** One step per line or per "then", where a new step begins with its verb; other lines belong to the step before. */
function stepsIn(said: string): readonly DemoToolCall[] {
  const separator = new RegExp(`\\s*(?:\\n|[,;.]?\\s+(?:and\\s+)?then\\s+)\\s*(?=(?:please\\s+)?(?:${VERBS})\\s)`, 'i');
  return said
    .split(separator)
    .map(stepOf)
    .filter((step) => step !== undefined);
}

function stepOf(sentence: string): DemoToolCall | undefined {
  const text = sentence.trim().replace(/^please\s+/i, '');
  const run = /^run\s+([\s\S]+)$/i.exec(text)?.[1];
  if (run !== undefined) return { name: 'bash', input: { command: unquote(run) } };
  const write = /^write\s+(\S+?)\s*:\s*([\s\S]+)$/i.exec(text);
  if (write?.[1] !== undefined) return { name: 'write', input: { file_path: unquote(write[1]), content: write[2] ?? '' } };
  const read = /^read\s+(\S+)$/i.exec(text)?.[1];
  return read === undefined ? undefined : { name: 'read', input: { file_path: unquote(read) } };
}

function unquote(value: string): string {
  return /^`([\s\S]*)`$/.exec(value.trim())?.[1] ?? value.trim();
}

function report(steps: readonly DemoToolCall[], results: readonly string[]): string {
  const parts = results.map((result, index) => {
    const step = steps[index];
    return `${step === undefined ? 'The tool' : titleOf(step)} answered:\n${quote(result)}`;
  });
  return `${LABEL} Done, in the sandbox.\n\n${parts.join('\n\n')}`;
}

function titleOf(step: DemoToolCall): string {
  return `\`${step.name} ${String(step.input.command ?? step.input.file_path)}\``;
}

function quote(result: string): string {
  const trimmed = result.trim();
  if (trimmed === '') return '(nothing)';
  return trimmed.length > MAX_QUOTE ? `${trimmed.slice(0, MAX_QUOTE)}…` : trimmed;
}

function explanation(conversation: Conversation): string {
  const { said, first, userMessages, messages } = conversation;
  const memory =
    userMessages > 1
      ? `It is your message number ${userMessages} in this conversation, which began with: "${shorten(first)}".`
      : 'It is your first message.';
  return [
    `${LABEL} You said: "${shorten(said)}". ${memory} I see ${messages} ${messages === 1 ? 'message' : 'messages'} in all.`,
    'I am a small built-in DEMO model, not a real one. In the sandbox I can do three things, one a line or joined by "then":',
    '- run uname -a\n- write notes.txt: hello\n- read notes.txt',
    'For a real model, stop the server and start it with a key: ANTHROPIC_API_KEY=… npm start (or OPENAI_API_KEY, GEMINI_API_KEY, DEEPSEEK_API_KEY, XAI_API_KEY).',
  ].join('\n\n');
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** About four characters a token, so that the counters of a demo move. */
export function demoUsage(body: JsonRecord, answer: DemoAnswer): { readonly prompt: number; readonly completion: number } {
  const spoken = answer.text + (answer.toolCall === undefined ? '' : JSON.stringify(answer.toolCall.input));
  return { prompt: Math.ceil(JSON.stringify(body.messages ?? '').length / 4), completion: Math.ceil(spoken.length / 4) };
}

/** True for a body the demo model can read. */
export function isDemoRequest(body: unknown): body is JsonRecord {
  return isRecord(body) && Array.isArray(body.messages);
}
