import { setTimeout as sleep } from 'node:timers/promises';
import type { EventParam } from '../../packages/api/src/index.ts';
import type { Endpoints } from './endpoints.ts';
import type { Sent } from './history.ts';
import { type Posted, postEvents } from './post-events.ts';
import type { Random } from './random.ts';

export interface Counts {
  /** How many requests were made, and how many of them got no answer. */
  readonly tries: number;
  readonly unanswered: number;
  /** How many were told to come again, and how many of those were not told when. */
  readonly refused: number;
  readonly bareRefusals: number;
}

export interface Sender {
  readonly sent: readonly Sent[];
  /** Sends under one key until a server accepts or refuses it; answers the accepted ids, empty when it was refused. */
  send(type: Sent['type'], events: readonly EventParam[], texts?: readonly string[]): Promise<readonly string[]>;
  counts(): Counts;
}

const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 160;
/** How often a client that has its answer asks again, how often it asks twice at once, and how often it misuses its key. */
const AGAIN = 0.15;
const TWICE = 0.1;
const MISUSE = 0.05;
/** The first request under the key is still under way. */
const IN_FLIGHT = 'idempotency_in_flight';
const OTHER_BODY: readonly EventParam[] = [{ type: 'user.message', content: [{ type: 'text', text: 'another body under a used key' }] }];

export function createSender(input: {
  readonly endpoints: Endpoints;
  readonly key: string;
  readonly sessionId: string;
  readonly random: Random;
  readonly requestMs: number;
  /** No more tries: the run is over. */
  readonly signal: AbortSignal;
}): Sender {
  const { endpoints, sessionId, random } = input;
  const sent: Sent[] = [];
  const counts = { tries: 0, unanswered: 0, refused: 0, bareRefusals: 0 };

  /** Undefined when nothing answered. */
  async function attempt(idempotencyKey: string, events: readonly EventParam[]): Promise<Posted | undefined> {
    counts.tries += 1;
    try {
      const request = { url: endpoints.current(), key: input.key, sessionId, timeoutMs: input.requestMs };
      const posted = await postEvents({ ...request, events, idempotencyKey });
      if (posted.status === 429 || posted.status === 503 || posted.status === 507) {
        counts.refused += 1;
        if (!posted.hasRetryAfter) counts.bareRefusals += 1;
      }
      return posted;
    } catch {
      counts.unanswered += 1;
      return undefined;
    }
  }

  async function untilDecided(idempotencyKey: string, events: readonly EventParam[]): Promise<Posted | undefined> {
    for (let pauseMs = FIRST_RETRY_MS; !input.signal.aborted; pauseMs = Math.min(pauseMs * 2, LAST_RETRY_MS)) {
      const posted = await attempt(idempotencyKey, events);
      if (posted !== undefined && isDecided(posted)) return posted;
      // A full queue is full on every server.
      if (posted?.status !== 429) endpoints.rotate();
      await sleep(pauseMs);
    }
    return undefined;
  }

  return {
    sent,
    async send(type, events, texts = []) {
      const key = `${sessionId}-${sent.length}-${random.whole(1e9)}`;
      const answers: (readonly string[])[] = [];
      const mismatches: number[] = [];
      const record = { key, type, texts, answers, refusal: null as string | null, mismatches };
      sent.push(record);
      const [isAgain, isTwice, isMisused] = [random.isLucky(AGAIN), random.isLucky(TWICE), random.isLucky(MISUSE)];
      const results = await Promise.all(Array.from({ length: isTwice ? 2 : 1 }, () => untilDecided(key, events)));
      if (isAgain) {
        // Another server has to know the key too.
        endpoints.rotate();
        results.push(await untilDecided(key, events));
      }
      for (const result of results) {
        if (result === undefined) record.refusal = 'the run was over';
        else if (result.status >= 300) record.refusal = result.code ?? String(result.status);
        else answers.push(result.ids);
      }
      if (isMisused && answers.length > 0) {
        const posted = await attempt(key, OTHER_BODY);
        if (posted !== undefined && isDecided(posted)) mismatches.push(posted.status);
      }
      return answers[0] ?? [];
    },
    counts: () => ({ ...counts }),
  };
}

/** Accepted, or refused for good. */
function isDecided({ status, code }: Posted): boolean {
  return status < 500 && status !== 429 && code !== IN_FLIGHT;
}
