import { isCancel, select, text } from '@clack/prompts';
import {
  type ApprovalAnswer,
  type Client,
  ClientError,
  isProblemCode,
  isToolUse,
  PROBLEMS,
  type SessionEvent,
  type StreamItem,
  type ToolUseEvent,
  toolNameOf,
} from '@cloister/api';
import { CommandError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { note, printable, printLine } from './output.ts';
import { createTurnPrinter, type TurnPrinter } from './turn-printer.ts';

/** What to answer when a tool needs permission. `ask` asks the person, and denies where there is none. */
export type Approve = 'ask' | 'all' | 'none';

export interface TurnOptions {
  readonly client: Client;
  readonly sessionId: string;
  readonly message: string;
  readonly approve: Approve;
  /** Print every event as a JSON line instead of the text. */
  readonly json: boolean;
}

/**
 * Sends one message and shows its turn to the end. The first Ctrl-C interrupts the turn, a second leaves it
 * running on the server. Throws a CommandError when the turn did not complete.
 */
export async function runTurn(options: TurnOptions): Promise<void> {
  const { client, sessionId, json } = options;
  const printer = createTurnPrinter();
  const leaving = new AbortController();
  const release = onInterrupt(options, leaving);
  try {
    const { last_seq: after } = await client.sessions.get(sessionId);
    const items = client.events.stream(sessionId, { after, deltas: json ? [] : ['agent.message'], signal: leaving.signal });
    // The first step opens the stream: what is said before it is open comes only whole, not as it is produced.
    let step = items.next();
    const sentId = await sendMessage(options);
    for (let item = await step; !item.done; item = await step) {
      step = items.next();
      if (await take(item.value, { ...options, printer, sentId })) return;
    }
    throw new CommandError(EXIT.interrupted, { title: 'Left; the turn goes on at the server.' });
  } finally {
    release();
    leaving.abort();
  }
}

async function sendMessage({ client, sessionId, message }: TurnOptions): Promise<string | undefined> {
  const sent = await client.events.send(sessionId, [{ type: 'user.message', content: [{ type: 'text', text: message }] }]);
  return sent.data[0]?.id;
}

/** True when this was the end of the turn that `sentId` asked for. */
async function take(item: StreamItem, options: TurnOptions & { printer: TurnPrinter; sentId: string | undefined }): Promise<boolean> {
  if (item.type === 'reset') return false;
  const event = item.type === 'event' ? item.event : item.preview;
  if (options.json) printLine(JSON.stringify(event));
  else options.printer.take(event);
  if (isToolUse(event) && event.evaluated_permission === 'ask') await decide(options, event);
  if (event.type === 'approval.requested') await decideBudget(options, event);
  if (event.type === 'session.deleted' || event.type === 'session.status_terminated')
    throw new CommandError(EXIT.failed, { title: 'The session ended before the turn did.' });
  if (event.type !== 'turn.ended' || event.event_id !== options.sentId) return false;
  finish(event);
  return true;
}

function finish(event: Extract<SessionEvent, { type: 'turn.ended' }>): void {
  if (event.outcome === 'completed') return;
  if (event.outcome === 'cancelled') throw new CommandError(EXIT.interrupted, { title: 'The turn was interrupted.' });
  const { error } = event;
  if (error === null) throw new CommandError(EXIT.failed, { title: `The turn ended: ${event.outcome}.` });
  const title = isProblemCode(error.code) ? PROBLEMS[error.code].title : error.message;
  throw new CommandError(EXIT.failed, { title, detail: error.message, fix: error.fix });
}

type BudgetQuestion = Extract<SessionEvent, { type: 'approval.requested' }>;

async function decide({ client, sessionId, approve }: TurnOptions, event: ToolUseEvent): Promise<void> {
  const answer: ApprovalAnswer =
    approve === 'all' ? { decision: 'allow' } : approve === 'none' ? { decision: 'deny' } : await askPerson(event);
  const { decision: result, scope } = answer;
  const confirmation = {
    type: 'user.tool_confirmation',
    tool_use_id: event.id,
    result,
    ...(scope === undefined ? {} : { scope }),
  } as const;
  await unlessAnswered(client.events.send(sessionId, [confirmation]));
}

/** Somebody may have been quicker elsewhere, which is no failure of the turn. */
async function unlessAnswered(answer: Promise<unknown>): Promise<void> {
  try {
    await answer;
  } catch (error) {
    const isLate = error instanceof ClientError && (error.code === 'approval_answered' || error.code === 'approval_not_pending');
    if (!isLate) throw error;
    note(printable(error.message), 'yellow');
  }
}

async function askPerson(event: ToolUseEvent): Promise<ApprovalAnswer> {
  const name = printable(toolNameOf(event));
  if (!process.stdin.isTTY) {
    note(`Denied ${name}: nobody is here to ask. Use --approve all to allow such calls.`, 'yellow');
    return { decision: 'deny' };
  }
  const choice = await select({
    message: `Allow ${name} ${printable(JSON.stringify(event.input))}?`,
    options: [
      { value: 'once', label: 'Allow' },
      { value: 'session', label: 'Allow for this session', hint: 'and what the same rule asks about' },
      { value: 'deny', label: 'Deny' },
    ],
    output: process.stderr,
  });
  if (choice === 'once') return { decision: 'allow' };
  return choice === 'session' ? { decision: 'allow', scope: 'session' } : { decision: 'deny' };
}

/** Raised by a person who is here; left open for others where nobody is. */
async function decideBudget({ client, approve }: TurnOptions, event: BudgetQuestion): Promise<void> {
  const subject = printable(JSON.stringify(event.subject));
  note(
    `A budget is used up: ${subject}. Answer with \`cloister approvals answer ${event.id} allow --raise <amount>\` or \`deny\`.`,
    'yellow',
  );
  if (approve === 'none') return unlessAnswered(client.approvals.answer(event.id, { decision: 'deny' }));
  if (!process.stdin.isTTY) return;
  const amount = await text({ message: 'Raise it by how much? Leave it empty to stop.', output: process.stderr });
  const raise = isCancel(amount) ? 0 : Number(amount);
  await unlessAnswered(client.approvals.answer(event.id, raise > 0 ? { decision: 'allow', raise } : { decision: 'deny' }));
}

function onInterrupt({ client, sessionId }: TurnOptions, leaving: AbortController): () => void {
  let isInterrupted = false;
  const handler = () => {
    if (isInterrupted) return leaving.abort();
    isInterrupted = true;
    note('Interrupting … (Ctrl-C again to leave)', 'yellow');
    client.events.send(sessionId, [{ type: 'user.interrupt' }]).catch((error: unknown) => {
      note(error instanceof Error ? error.message : String(error), 'red');
      leaving.abort();
    });
  };
  process.on('SIGINT', handler);
  return () => process.off('SIGINT', handler);
}
