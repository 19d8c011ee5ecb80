import { type Json, parseBody } from './json.ts';

/**
 * What the fake model says is decided by directives in the last user text alone. It is stateless on
 * purpose: retries, resumed conversations and side requests reach the same server in any order, and
 * a queue of canned replies would go out of step.
 */
export type Entry =
  | { readonly from: 'user'; readonly text: string; readonly message: number }
  | { readonly from: 'tool'; readonly text: string };

export interface Conversation {
  /** The last text block of a user that is not blank without its reminders. */
  readonly userText: string;
  /** Messages of the user that say something. */
  readonly turns: number;
  /** What tools returned since that text. */
  readonly toolResults: readonly string[];
  /** A request that offers an empty list of tools, as programs send to name a conversation. */
  readonly isSideRequest: boolean;
}

interface Usage {
  readonly input: number;
  readonly output: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
}

interface ToolCall {
  readonly name: string;
  readonly input: Json;
}

/** How the stream goes wrong; `whole` does not. */
type Ending = 'whole' | 'cut' | 'badjson' | 'nofinish';

export interface Answer {
  readonly type: 'answer';
  readonly pieces: readonly string[];
  readonly tool: ToolCall | undefined;
  readonly isThinking: boolean;
  /** Before every piece. */
  readonly delayMs: number;
  /** Nothing at all for this long after the first event. */
  readonly silentMs: number;
  readonly ending: Ending;
  /** An `error` event of this type takes the place of the end. */
  readonly streamError: string | undefined;
  readonly usage: Usage | undefined;
}

export interface Refusal {
  readonly type: 'refusal';
  readonly status: number;
  readonly retryAfterSeconds: string | undefined;
}

export type Script = Answer | Refusal;

const REMINDER = /<system-reminder>[\s\S]*?<\/system-reminder>/g;
/** Context that agent programs put before the person's own words. */
const PREAMBLE = /^<(environment_context|user_instructions|permissions)/;

function withoutReminders(value: string): string {
  const stripped = value.replace(REMINDER, '').trim();
  return PREAMBLE.test(stripped) ? '' : stripped;
}

export function conversationOf(entries: readonly Entry[], tools: unknown): Conversation {
  const speaking = new Set<number>();
  let userText = '';
  let toolResults: string[] = [];
  for (const entry of entries) {
    if (entry.from === 'tool') {
      toolResults.push(entry.text);
      continue;
    }
    const said = withoutReminders(entry.text);
    if (said === '') continue;
    speaking.add(entry.message);
    userText = said;
    toolResults = [];
  }
  return { userText, turns: speaking.size, toolResults, isSideRequest: Array.isArray(tools) && tools.length === 0 };
}

/** `failedOnce` remembers the texts whose `[[error1 S]]` was given already. */
export function scriptOf(conversation: Conversation, failedOnce: Set<string>): Script {
  const said = conversation.userText;
  if (conversation.isSideRequest) return answer({ pieces: echo(conversation) });
  return refusalIn(said, failedOnce) ?? answer(contentOf(conversation), said);
}

function refusalIn(said: string, failedOnce: Set<string>): Refusal | undefined {
  const limited = /\[\[retryafter ([\d.]+)\]\]/.exec(said);
  if (limited) return { type: 'refusal', status: 429, retryAfterSeconds: limited[1] };
  const always = /\[\[error (\d{3})\]\]/.exec(said);
  if (always) return { type: 'refusal', status: Number(always[1]), retryAfterSeconds: undefined };
  const once = /\[\[error1 (\d{3})\]\]/.exec(said);
  if (!once || failedOnce.has(said)) return undefined;
  failedOnce.add(said);
  return { type: 'refusal', status: Number(once[1]), retryAfterSeconds: '0' };
}

interface Content {
  readonly pieces: readonly string[];
  readonly tool?: ToolCall;
}

function contentOf(conversation: Conversation): Content {
  const said = conversation.userText;
  const done = conversation.toolResults.length;
  const tool = toolCallsIn(said)[done];
  if (tool) return { pieces: ['Calling ', 'a tool.'], tool };
  const result = conversation.toolResults.at(-1);
  const opening = result === undefined ? [] : ['tool said: ', result.slice(0, 200)];
  const slow = /\[\[slow (\d+) \d+\]\]/.exec(said);
  if (slow) return { pieces: [...opening, ...Array.from({ length: Number(slow[1]) }, (_, index) => `chunk${index} `)] };
  if (opening.length > 0) return { pieces: opening };
  const exact = /\[\[text ([\s\S]*?)\]\]/.exec(said);
  return { pieces: exact?.[1] === undefined ? echo(conversation) : [exact[1]] };
}

function answer(content: Content, said = ''): Answer {
  const silent = /\[\[silent(?: (\d+))?\]\]/.exec(said);
  return {
    type: 'answer',
    pieces: content.pieces,
    tool: content.tool,
    isThinking: said.includes('[[think]]'),
    delayMs: Number(/\[\[slow \d+ (\d+)\]\]/.exec(said)?.[1] ?? 0),
    silentMs: silent === null ? 0 : Number(silent[1] ?? 3_600_000),
    ending: (['cut', 'badjson', 'nofinish'] as const).find((name) => said.includes(`[[${name}]]`)) ?? 'whole',
    streamError: /\[\[streamerror (\w+)\]\]/.exec(said)?.[1],
    usage: usageIn(said),
  };
}

function usageIn(said: string): Usage | undefined {
  const found = /\[\[usage (\d+) (\d+)(?: (\d+) (\d+))?\]\]/.exec(said);
  if (!found) return undefined;
  const [input, output, cacheRead, cacheWrite] = found.slice(1, 5).map((part) => Number(part ?? 0));
  return { input: input ?? 0, output: output ?? 0, cacheRead: cacheRead ?? 0, cacheWrite: cacheWrite ?? 0 };
}

function echo(conversation: Conversation): readonly string[] {
  const full = `echo: ${conversation.userText.slice(-120)} | turns=${conversation.turns}`;
  return full.match(/[\s\S]{1,24}/g) ?? [full];
}

/** Every `[[tool NAME {json}]]`, in order. The JSON is read by its braces, since it may hold `]]` itself. */
function toolCallsIn(said: string): readonly ToolCall[] {
  const calls: ToolCall[] = [];
  for (const match of said.matchAll(/\[\[tool ([\w.-]+)\s+(?=\{)/g)) {
    const start = match.index + match[0].length;
    const end = endOfObject(said, start);
    if (end !== undefined && said.startsWith(']]', end)) calls.push({ name: match[1] ?? '', input: parseBody(said.slice(start, end)) });
  }
  return calls;
}

function endOfObject(source: string, start: number): number | undefined {
  let depth = 0;
  let isInString = false;
  for (let index = start; index < source.length; index++) {
    const char = source[index];
    if (isInString) {
      if (char === '\\') index++;
      else if (char === '"') isInString = false;
    } else if (char === '"') isInString = true;
    else if (char === '{') depth++;
    else if (char === '}' && --depth === 0) return index + 1;
  }
  return undefined;
}
