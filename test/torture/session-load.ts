import { setTimeout as sleep } from 'node:timers/promises';
import type { EventParam, SessionEvent } from '../../packages/api/src/index.ts';
import { createEndpoints } from './endpoints.ts';
import type { Sent } from './history.ts';
import type { Random } from './random.ts';
import { createSender, type Sender } from './sender.ts';
import { followSession, type SessionStream } from './session-stream.ts';

/** Whether the messages of a session may ask for what never ends by itself; the client of such a session interrupts. */
export type Temper = 'patient' | 'interrupting';

export interface SessionLoad {
  readonly sessionId: string;
  readonly stream: SessionStream;
  readonly sender: Sender;
  /** No new messages; what is begun goes on, questions are answered. */
  finish(): void;
  /** Resolves when all that was begun is sent. */
  readonly done: Promise<void>;
  /** How many messages were accepted and have not ended. */
  open(): number;
}

export interface SessionLoadInput {
  /** Of all servers: the client goes to any, and to another when one does not answer. */
  readonly urls: readonly string[];
  readonly key: string;
  readonly sessionId: string;
  readonly temper: Temper;
  readonly random: Random;
  /** How long the client waits for an answer, and how long for a silent stream. */
  readonly requestMs: number;
  readonly silenceMs: number;
  /** How many times longer slow answers take. */
  readonly slowness: number;
  readonly signal: AbortSignal;
}

/** So many may wait behind the one that runs. */
const MAX_OPEN = 4;
const PAUSE_MS = 15;

/** One client of one session: sends, follows, answers questions, and interrupts when that is its temper. */
export function startSessionLoad(input: SessionLoadInput): SessionLoad {
  const { random, sessionId } = input;
  const endpoints = () => createEndpoints(input.urls, random.fork());
  const sender = createSender({ ...input, endpoints: endpoints(), random: random.fork() });
  const ended = new Set<string>();
  const accepted = new Set<string>();
  const background = new Set<Promise<unknown>>();
  const ownChance = random.fork();
  let isFinishing = false;
  let isDone = false;
  let number = 0;

  const inBackground = (type: Sent['type'], delayMs: number, event: EventParam): void => {
    const work = sleep(delayMs).then(() => sender.send(type, [event]));
    background.add(work);
    void work.finally(() => background.delete(work));
  };
  const stream = followSession({ ...input, endpoints: endpoints(), onEvent });

  function onEvent(event: SessionEvent): void {
    if (event.type === 'turn.ended') ended.add(event.event_id);
    if (event.type !== 'session.status_idle' || event.stop_reason.type !== 'requires_action') return;
    for (const id of event.stop_reason.event_ids) {
      const result = ownChance.isLucky(0.7) ? 'allow' : 'deny';
      inBackground('user.tool_confirmation', ownChance.upTo(150), { type: 'user.tool_confirmation', tool_use_id: id, result });
    }
  }

  const open = (): number => [...accepted].filter((id) => !ended.has(id)).length;

  async function run(): Promise<void> {
    while (!isFinishing && !input.signal.aborted) {
      if (open() >= MAX_OPEN) {
        await sleep(PAUSE_MS);
        continue;
      }
      const count = number > 0 && random.isLucky(0.1) ? 2 : 1;
      const texts = Array.from({ length: count }, () => nextText(random, `${sessionId.slice(-6)} m${number++}`, input));
      for (const id of await sender.send('user.message', texts.map(toMessage), texts)) accepted.add(id);
      if (input.temper === 'interrupting' && number > 1 && random.isLucky(0.4))
        inBackground('user.interrupt', random.upTo(200), { type: 'user.interrupt' });
      await sleep(random.upTo(PAUSE_MS * 2));
    }
    while (open() > 0 && !input.signal.aborted) await sleep(PAUSE_MS);
    await Promise.all(background);
  }

  /** What hangs is interrupted, also while a message waits for room behind it. */
  async function interruptAgainAndAgain(): Promise<void> {
    while (!isDone && !input.signal.aborted) {
      await sleep(isFinishing ? 200 : 2000);
      if (open() > 0) inBackground('user.interrupt', 0, { type: 'user.interrupt' });
      await Promise.all(background);
    }
  }

  const done = run().finally(() => {
    isDone = true;
  });
  if (input.temper === 'interrupting') void interruptAgainAndAgain();

  return {
    sessionId,
    stream,
    sender,
    finish: () => {
      isFinishing = true;
    },
    done,
    open,
  };
}

function toMessage(text: string): EventParam {
  return { type: 'user.message', content: [{ type: 'text', text }] };
}

/** What the fake agent is to do. The first message is a plain one: from then on the session has a memory that must not be lost. */
function nextText(random: Random, mark: string, { temper, slowness }: Pick<SessionLoadInput, 'temper' | 'slowness'>): string {
  const luck = random.upTo(1);
  if (mark.endsWith(' m0') || luck < 0.35) return `${mark}`;
  const slow = `[[slow ${1 + random.whole(5)} ${(5 + random.whole(30)) * slowness}]]`;
  const tool = `[[tool bash {"command":"${mark}"}]]`;
  if (luck < 0.5) return `${mark} ${slow}`;
  if (luck < 0.65) return `${mark} ${tool}`;
  if (luck < 0.85) return `${mark} ${tool} ${slow}`;
  if (luck < 0.9) return `${mark} [[fail]]`;
  if (luck < 0.93) return `${mark} [[exit]]`;
  return temper === 'interrupting' ? `${mark} [[hang]]` : `${mark} ${slow}`;
}
